import { spawn } from 'node:child_process'
import { randomFill } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { getPriority } from 'node:os'
import { setImmediate } from 'node:timers/promises'
import { promisify } from 'node:util'
import t from 'tap'
import { createDeriver } from '../../../src/issuer/passwords/derive.ts'
import { parsePasswordHash } from '../../../src/issuer/passwords/phc.ts'

const bcrypt = parsePasswordHash('$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW')

t.test('bcrypt does not hold up the event loop', async (t) => {
  const deriver = createDeriver(2)
  t.teardown(() => deriver.close())
  const slow = parsePasswordHash('$2a$11$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW')
  let turns = 0
  const timer = setInterval(() => {
    turns += 1
  }, 1)
  await deriver.derive(Buffer.from('U*U'), slow.recipe, 23)
  clearInterval(timer)
  t.ok(turns >= 3, `${turns} turns`)
})

t.test("a storm of hashes leaves Node's thread pool to the others (I6)", async (t) => {
  const deriver = createDeriver(2)
  t.teardown(() => deriver.close())
  const salt = Buffer.alloc(16)
  const slow = { scheme: 'argon2id', memory_kib: 65_536, passes: 4, parallelism: 1, salt } as const
  let hashed = 0
  // As many as the pool has threads.
  const storm = Array.from({ length: 4 }, async () => {
    await deriver.derive(Buffer.from('password'), slow, 32)
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

/** Whether a process does anything still; one that nobody has asked how it ended does not. */
function isRunning(folder: string): boolean {
  try {
    return !/^State:\tZ/m.test(readFileSync(`${folder}/status`, 'utf8'))
  } catch {
    return false
  }
}

const onLinux = { skip: process.platform !== 'linux' }

t.test('hashing gives way to whoever answers requests', onLinux, async (t) => {
  const before = children()
  const deriver = createDeriver(2)
  t.teardown(() => deriver.close())
  const salt = Buffer.alloc(16)
  const cheap = { scheme: 'argon2id', memory_kib: 64, passes: 1, parallelism: 1, salt } as const
  const jobs = Array.from({ length: 5 }, () => deriver.derive(Buffer.from('password'), cheap, 32))
  await Promise.all(jobs)
  const hashing = children().filter((child) => !before.includes(child))
  t.strictSame(
    hashing.map((pid) => getPriority(Number(pid))),
    [13, 13],
    'as many processes as there may be hashes at once',
  )
  t.equal(getPriority(), 0, 'the thread that answers requests has the usual priority')
})

t.test('it is told nothing of our environment', onLinux, async (t) => {
  const before = children()
  const deriver = createDeriver(1)
  t.teardown(() => deriver.close())
  process.env.GATEPASS_SECRET = 'a secret of this process'
  t.teardown(() => delete process.env.GATEPASS_SECRET)
  await deriver.derive(Buffer.from('U*U'), bcrypt.recipe, 23)
  const [pid = ''] = children().filter((child) => !before.includes(child))
  const environment = readFileSync(`/proc/${pid}/environ`, 'utf8')
  t.match(environment, 'GLIBC_TUNABLES=')
  t.notMatch(environment, 'a secret of this process')
})

t.test('many at once get each its own answer', async (t) => {
  const deriver = createDeriver(2)
  t.teardown(() => deriver.close())
  const answers = ['U*U', 'other', 'U*U'].map((password) =>
    deriver.derive(Buffer.from(password), bcrypt.recipe, 23),
  )
  const matches = (await Promise.all(answers)).map((digest) => digest.equals(bcrypt.digest))
  t.strictSame(matches, [true, false, true])
})

t.test('closing ends what is under way and what waits, and more can follow', async (t) => {
  const deriver = createDeriver(2)
  t.teardown(() => deriver.close())
  await deriver.close()
  const refused = ['U*U', 'U*U*'].map((password) =>
    t.rejects(deriver.derive(Buffer.from(password), bcrypt.recipe, 23), { code: 'shutting_down' }),
  )
  await deriver.close()
  await Promise.all(refused)
  const after = await deriver.derive(Buffer.from('U*U'), bcrypt.recipe, 23)
  t.ok(after.equals(bcrypt.digest))
})

t.test('a job that cannot be done is an error, and of no other job', async (t) => {
  const deriver = createDeriver(1)
  t.teardown(() => deriver.close())
  const broken = { scheme: 'bcrypt', settings: 'not bcrypt', cost: 5 } as const
  const failed = t.rejects(deriver.derive(Buffer.from('U*U'), broken, 23), {
    code: 'internal_error',
  })
  t.ok((await deriver.derive(Buffer.from('U*U'), bcrypt.recipe, 23)).equals(bcrypt.digest))
  await failed
})

t.test(
  'a process that dies is an error of its jobs, the next starts another',
  onLinux,
  async (t) => {
    const before = children()
    const deriver = createDeriver(1)
    t.teardown(() => deriver.close())
    const kill = () => {
      const [pid] = children().filter((child) => !before.includes(child))
      process.kill(Number(pid), 'SIGKILL')
    }
    const lost = t.rejects(deriver.derive(Buffer.from('U*U'), bcrypt.recipe, 23), {
      code: 'internal_error',
    })
    kill()
    await lost
    t.ok((await deriver.derive(Buffer.from('U*U'), bcrypt.recipe, 23)).equals(bcrypt.digest))
    kill()
    while (children().length > before.length) await setImmediate()
    t.ok((await deriver.derive(Buffer.from('U*U'), bcrypt.recipe, 23)).equals(bcrypt.digest))
  },
)

t.test('a terminal that interrupts everybody does not end a hash', onLinux, async (t) => {
  const before = children()
  const deriver = createDeriver(1)
  t.teardown(() => deriver.close())
  const derive = () => deriver.derive(Buffer.from('U*U'), bcrypt.recipe, 23)
  await derive()
  const underWay = derive()
  const [pid] = children().filter((child) => !before.includes(child))
  for (const signal of ['SIGINT', 'SIGTERM']) process.kill(Number(pid), signal)
  t.ok((await underWay).equals(bcrypt.digest))
  t.ok((await derive()).equals(bcrypt.digest))
  t.strictSame(
    children().filter((child) => !before.includes(child)),
    [pid],
  )
})

t.test('hashing ends with who asked for it, however that ends', onLinux, async (t) => {
  const module = new URL('../../../src/issuer/passwords/derive.ts', import.meta.url)
  const program = `
    import { readFileSync } from 'node:fs'
    import { createDeriver } from ${JSON.stringify(module.href)}
    const salt = Buffer.alloc(16)
    const cheap = { scheme: 'argon2id', memory_kib: 64, passes: 1, parallelism: 1, salt }
    await createDeriver(1).derive(Buffer.from('password'), cheap, 32)
    console.log(readFileSync('/proc/self/task/' + process.pid + '/children', 'utf8').trim())
    setInterval(() => {}, 1000)
  `
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  const [output] = (await once(child.stdout, 'data')) as [Buffer]
  const hashing = `/proc/${output.toString().trim()}`
  t.ok(existsSync(hashing))
  child.kill('SIGKILL')
  while (isRunning(hashing)) await setImmediate()
})

t.test('hashing neither ends a process too early nor keeps it alive', async (t) => {
  const module = new URL('../../../src/issuer/passwords/hasher.ts', import.meta.url)
  const program = `
    import { PasswordHasher } from ${JSON.stringify(module.href)}
    const hasher = new PasswordHasher()
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
