import { ChildProcess, spawn } from 'node:child_process'
import { randomFill } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { getPriority } from 'node:os'
import { mock } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { promisify } from 'node:util'
import t from 'tap'
import type { HashJob } from '../../../src/issuer/passwords/hash-process.ts'
import { parsePasswordHash } from '../../../src/issuer/passwords/password-hash.ts'
import { type Deriver, HashProcessPool } from '../../../src/issuer/passwords/password-hasher.ts'
import { cheapHashing } from '../../support/hashing.ts'

const bcrypt = parsePasswordHash('$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW')
const bcryptJob = jobFor('U*U', bcrypt.parameters)
const argon2id = { scheme: 'argon2id', passes: 1, parallelism: 1, salt: Buffer.alloc(16) } as const
const cheapJob = jobFor('password', { ...argon2id, memoryKib: 64 })

function jobFor(password: string, parameters: HashJob['parameters']): HashJob {
  return { password: Buffer.from(password), parameters, digestBytes: 23 }
}

/** The digest of one job. */
async function digestOf(pool: Deriver, job: HashJob): Promise<Buffer> {
  const [result] = await pool.derive([job])
  if (result?.status === 'fulfilled') return result.value
  throw result?.reason
}

t.test('bcrypt does not hold up the event loop', async (t) => {
  const pool = new HashProcessPool()
  t.teardown(() => pool.close())
  const slow = parsePasswordHash('$2a$11$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW')
  let turns = 0
  const timer = setInterval(() => {
    turns += 1
  }, 1)
  await pool.derive([{ ...bcryptJob, parameters: slow.parameters }])
  clearInterval(timer)
  t.ok(turns >= 3, `${turns} turns`)
})

t.test("a storm of hashes leaves Node's thread pool to the others (I6)", async (t) => {
  const pool = new HashProcessPool()
  t.teardown(() => pool.close())
  const slow = jobFor('password', { ...argon2id, memoryKib: 65_536, passes: 4 })
  let hashed = 0
  // As many as the pool has threads.
  const storm = Array.from({ length: 4 }, async () => {
    await pool.derive([slow])
    hashed += 1
  })
  await promisify(randomFill)(Buffer.alloc(1))
  t.equal(hashed, 0)
  await Promise.all(storm)
})

/** The processes that this one has started, by proc_pid_children(5). */
function children(): string[] {
  const found = readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8')
  return found.split(' ').filter((pid) => pid !== '')
}

const onLinux = { skip: process.platform !== 'linux' }

t.test('hashing has a lower priority than requests', onLinux, async (t) => {
  const [before, own] = [children(), getPriority()]
  const expected = Math.min(own + 10, 19)
  const pool = new HashProcessPool()
  t.teardown(() => pool.close())
  for (let round = 0; round < 3; round += 1) {
    await Promise.all([pool.derive([cheapJob, cheapJob]), pool.derive([cheapJob])])
  }
  const hashing = children().filter((child) => !before.includes(child))
  t.strictSame(
    hashing.map((pid) => getPriority(Number(pid))),
    [expected, expected],
    'as many processes as there are hashes at once',
  )
  t.equal(getPriority(), own, 'the thread that answers requests keeps its priority')
})

t.test('the hash process receives no environment variables', onLinux, async (t) => {
  const before = children()
  const pool = new HashProcessPool()
  t.teardown(() => pool.close())
  process.env.GATEPASS_SECRET = 'a secret of this process'
  t.teardown(() => delete process.env.GATEPASS_SECRET)
  await digestOf(pool, bcryptJob)
  const [pid = ''] = children().filter((child) => !before.includes(child))
  const environment = readFileSync(`/proc/${pid}/environ`, 'utf8')
  t.match(environment, 'GLIBC_TUNABLES=')
  t.notMatch(environment, 'a secret of this process')
})

t.test('a process keeps no memory of an expensive imported hash', onLinux, async (t) => {
  const before = children()
  const pool = new HashProcessPool()
  t.teardown(() => pool.close())
  await digestOf(pool, cheapJob)
  const [pid = ''] = children().filter((child) => !before.includes(child))
  const residentMib = () =>
    Number(/VmRSS:\s*(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024
  const beforeMib = residentMib()
  await digestOf(pool, jobFor('password', { ...argon2id, memoryKib: 256 * 1024 }))
  const keptMib = residentMib() - beforeMib
  t.ok(keptMib < 128, `${keptMib} MiB`)
})

t.test('each job gets its own result, also a failed one', async (t) => {
  const pool = new HashProcessPool()
  t.teardown(() => pool.close())
  const broken = { scheme: 'bcrypt', settings: 'not bcrypt', cost: 5 } as const
  const jobs = [bcryptJob, jobFor('other', bcrypt.parameters), jobFor('U*U', broken), bcryptJob]
  const [together, apart] = await Promise.all([pool.derive(jobs), pool.derive(jobs)])
  t.strictSame(apart, together)
  const [first, other, failed, last] = together
  t.match(first, { status: 'fulfilled', value: bcrypt.digest })
  t.match(other, { status: 'fulfilled' })
  t.notMatch(other, { value: bcrypt.digest })
  t.match(failed, { status: 'rejected', reason: { code: 'internal_error' } })
  t.strictSame(last, first)
})

t.test('a batch of the longest passwords is hashed', async (t) => {
  const pool = new HashProcessPool()
  t.teardown(() => pool.close())
  const long = { ...cheapJob, password: Buffer.alloc(1024, 'long') }
  const results = await pool.derive(Array.from({ length: 256 }, () => long))
  t.equal(results.length, 256)
  t.strictSame(results[255], results[0])
  t.match(results[0], { status: 'fulfilled' })
})

t.test('closing ends jobs in progress, and later jobs start a new process', async (t) => {
  const pool = new HashProcessPool()
  t.teardown(() => pool.close())
  await pool.close()
  const refused = t.rejects(digestOf(pool, bcryptJob), { code: 'shutting_down' })
  await pool.close()
  await refused
  t.ok((await digestOf(pool, bcryptJob)).equals(bcrypt.digest))
})

t.test(
  'a process that dies is an error of its jobs, the next starts another',
  onLinux,
  async (t) => {
    const before = children()
    const pool = new HashProcessPool()
    t.teardown(() => pool.close())
    const kill = () => {
      const [pid] = children().filter((child) => !before.includes(child))
      process.kill(Number(pid), 'SIGKILL')
    }
    const lost = t.rejects(digestOf(pool, bcryptJob), {
      code: 'overloaded',
      retryAfterSeconds: 1,
      cause: { message: /ended by SIGKILL/ },
    })
    kill()
    await lost
    t.ok((await digestOf(pool, bcryptJob)).equals(bcrypt.digest))
    kill()
    while (children().length > before.length) await setImmediate()
    t.ok((await digestOf(pool, bcryptJob)).equals(bcrypt.digest))
  },
)

t.test('a process that hangs is an error of its jobs', onLinux, async (t) => {
  const before = children()
  const pool = new HashProcessPool()
  t.teardown(() => pool.close())
  await digestOf(pool, bcryptJob)
  const [pid] = children().filter((child) => !before.includes(child))
  process.kill(Number(pid), 'SIGSTOP')
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  const cause = { message: 'the hashing process does not respond' }
  const lost = t.rejects(digestOf(pool, bcryptJob), { code: 'overloaded', cause })
  mock.timers.tick(300_000)
  await lost
  t.ok((await digestOf(pool, bcryptJob)).equals(bcrypt.digest))
})

t.test('a process that does not start for lack of memory is an error of its jobs', async (t) => {
  const pool = new HashProcessPool()
  t.teardown(() => pool.close())
  const prototype = ChildProcess.prototype as unknown as { spawn(): void }
  const original = prototype.spawn
  prototype.spawn = () => {
    prototype.spawn = original
    throw new Error('spawn ENOMEM')
  }
  const cause = { message: 'spawn ENOMEM' }
  await t.rejects(pool.derive([bcryptJob]), { code: 'overloaded', retryAfterSeconds: 1, cause })
  t.ok((await digestOf(pool, bcryptJob)).equals(bcrypt.digest))
})

t.test('a signal to the process group does not end a hash', onLinux, async (t) => {
  const before = children()
  const pool = new HashProcessPool()
  t.teardown(() => pool.close())
  const derive = () => digestOf(pool, bcryptJob)
  await derive()
  const underWay = derive()
  const [pid] = children().filter((child) => !before.includes(child))
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.kill(Number(pid), signal)
  t.ok((await underWay).equals(bcrypt.digest))
  t.ok((await derive()).equals(bcrypt.digest))
  t.strictSame(
    children().filter((child) => !before.includes(child)),
    [pid],
  )
})

t.test('the hash process ends with its parent, however the parent ends', onLinux, async (t) => {
  const module = new URL('../../../src/issuer/passwords/password-hasher.ts', import.meta.url)
  const program = `
    import { readFileSync } from 'node:fs'
    import { HashProcessPool } from ${JSON.stringify(module.href)}
    const salt = Buffer.alloc(16)
    const parameters = { scheme: 'argon2id', memoryKib: 4096, passes: 1, parallelism: 1, salt }
    const job = { password: Buffer.from('password'), parameters, digestBytes: 32 }
    const pool = new HashProcessPool()
    await pool.derive([job])
    console.log(readFileSync('/proc/self/task/' + process.pid + '/children', 'utf8').trim())
    if (process.argv[1] === 'busy') await pool.derive(Array.from({ length: 20 }, () => job))
    setInterval(() => {}, 1000)
  `
  for (const state of ['idle', 'busy']) {
    const child = spawn(process.execPath, ['--input-type=module', '--eval', program, state], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    t.teardown(() => child.kill('SIGKILL'))
    // Of both: they share it.
    let complaints = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      complaints += text
    })
    const [output] = (await once(child.stdout, 'data')) as [Buffer]
    t.ok(existsSync(`/proc/${output.toString().trim()}`), state)
    child.kill('SIGKILL')
    await once(child, 'close')
    t.equal(complaints, '', state)
  }
})

t.test('hashing neither ends its parent early nor keeps it alive', async (t) => {
  const module = new URL('../../../src/issuer/passwords/password-hasher.ts', import.meta.url)
  const program = `
    import { PasswordHasher } from ${JSON.stringify(module.href)}
    const hasher = new PasswordHasher(${JSON.stringify(cheapHashing)})
    const hash = '$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW'
    console.log(await hasher.verify('U*U', hash), await hasher.verify('U*U*', hash))
  `
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  const [exitCode] = await once(child, 'close')
  t.equal(output, 'true false\n')
  t.equal(exitCode, 0)
})
