import { spawn } from 'node:child_process'
import { randomFill } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { getPriority } from 'node:os'
import { setImmediate } from 'node:timers/promises'
import { promisify } from 'node:util'
import t from 'tap'
import { createDeriver } from '../../../src/issuer/passwords/derive.ts'
import { PasswordHasher } from '../../../src/issuer/passwords/hasher.ts'
import { parsePasswordHash } from '../../../src/issuer/passwords/phc.ts'

const ignoredAfter72 =
  '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789chars after 72 are ignored'

/** Password and hash, as published with the algorithms or made by other implementations. */
const knownAnswers: Record<string, [password: string, hash: string][]> = {
  "argon2id, the reference implementation's": [
    [
      'password',
      '$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc',
    ],
    [
      'password',
      '$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4',
    ],
    [
      'password',
      '$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc',
    ],
  ],
  'scrypt, of RFC 7914 §12': [
    [
      'pleaseletmein',
      '$scrypt$ln=14,r=8,p=1$U29kaXVtQ2hsb3JpZGU$cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofLVQylVYT8Pz2LUlwUkKpr55h6F3A1lHkDfzwF7RVdYhw',
    ],
  ],
  "scrypt, Python's hashlib": [
    [
      'grün😀!',
      '$scrypt$ln=4,r=8,p=3$MDEyMzQ1Njc4OWFiY2RlZg$xGAtm0A6aqnhL204HXkZHc58V0EdJ7FZ3Hym3DBdP08',
    ],
  ],
  "bcrypt, crypt_blowfish's": [
    ['U*U', '$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW'],
    ['U*U*', '$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK'],
    ['U*U*U', '$2b$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a'],
    [ignoredAfter72, '$2y$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui'],
    ['', '$2a$05$CCCCCCCCCCCCCCCCCCCCC.7uG0VCzI2bS7j6ymqJi9CdcdxiRTWNy'],
    // The same hash with a spare bit set in the salt, as old PHP and Python programs wrote it.
    ['U*U', '$2a$05$CCCCCCCCCCCCCCCCCCCCC/E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW'],
  ],
}

for (const [whose, answers] of Object.entries(knownAnswers)) {
  t.test(`known answers: ${whose}`, async (t) => {
    const hasher = new PasswordHasher()
    t.teardown(() => hasher.close())
    for (const [password, hash] of answers) {
      t.ok(await hasher.verify(password, hash), hash)
      t.notOk(await hasher.verify(`x${password}`, hash))
    }
  })
}

t.test('scrypt gets the memory that its limits allow', async (t) => {
  const hasher = new PasswordHasher()
  const most =
    '$scrypt$ln=18,r=8,p=1$MDEyMzQ1Njc4OWFiY2RlZg$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'
  t.equal(await hasher.verify('password', most), false)
})

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

/** The names of the threads of a process, and their nice values (proc_pid_stat(5): the 19th field). */
function threadsOf(pid: string): { name: string; nice: number }[] {
  return readdirSync(`/proc/${pid}/task`).map((id) => {
    const stat = readFileSync(`/proc/${pid}/task/${id}/stat`, 'utf8')
    const end = stat.lastIndexOf(')')
    const nice = Number(stat.slice(end + 2).split(' ')[16])
    return { name: stat.slice(stat.indexOf('(') + 1, end), nice }
  })
}

const onLinux = { skip: process.platform !== 'linux' }

t.test('hashing gives way to whoever answers requests', onLinux, async (t) => {
  const before = children()
  const deriver = createDeriver(2)
  t.teardown(() => deriver.close())
  const salt = Buffer.alloc(16)
  const cheap = { scheme: 'argon2id', memory_kib: 64, passes: 1, parallelism: 1, salt } as const
  await deriver.derive(Buffer.from('password'), cheap, 32)
  const [pid = '', ...others] = children().filter((child) => !before.includes(child))
  t.strictSame(others, [], 'one process')
  const hashing = threadsOf(pid).filter(({ name }) => name.startsWith('libuv'))
  t.strictSame(
    hashing.map(({ nice }) => nice),
    [13, 13],
    'as many threads as there are hashes at once',
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
  t.match(environment, 'UV_THREADPOOL_SIZE=1')
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

t.test('closing ends what is under way, and more can follow', async (t) => {
  const deriver = createDeriver(2)
  t.teardown(() => deriver.close())
  await deriver.close()
  const underWay = deriver.derive(Buffer.from('U*U'), bcrypt.recipe, 23)
  const refused = t.rejects(underWay, { code: 'shutting_down' })
  await deriver.close()
  await refused
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
