import { spawn } from 'node:child_process'
import { randomFill } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { getPriority } from 'node:os'
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
  const deriver = createDeriver()
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
  const deriver = createDeriver()
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

t.test('hashing gives way to other threads', { skip: process.platform !== 'linux' }, async (t) => {
  const deriver = createDeriver()
  t.teardown(() => deriver.close())
  await deriver.derive(Buffer.from('U*U'), bcrypt.recipe, 23)
  // proc_pid_stat(5): the 19th field, the 17th behind the name in brackets, is the nice value.
  const nice = readdirSync('/proc/self/task').map((id) => {
    const stat = readFileSync(`/proc/self/task/${id}/stat`, 'utf8')
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16])
  })
  t.ok(nice.includes(10), `${nice}`)
  t.equal(getPriority(), 0, 'the thread that answers requests has the usual priority')
})

t.test('many at once get each its own answer', async (t) => {
  const deriver = createDeriver()
  t.teardown(() => deriver.close())
  const answers = ['U*U', 'other', 'U*U'].map((password) =>
    deriver.derive(Buffer.from(password), bcrypt.recipe, 23),
  )
  const matches = (await Promise.all(answers)).map((digest) => digest.equals(bcrypt.digest))
  t.strictSame(matches, [true, false, true])
})

t.test('closing ends what is under way, and more can follow', async (t) => {
  const deriver = createDeriver()
  t.teardown(() => deriver.close())
  await deriver.close()
  const underWay = deriver.derive(Buffer.from('U*U'), bcrypt.recipe, 23)
  const refused = t.rejects(underWay, { code: 'shutting_down' })
  await deriver.close()
  await refused
  const after = await deriver.derive(Buffer.from('U*U'), bcrypt.recipe, 23)
  t.ok(after.equals(bcrypt.digest))
})

t.test('a thread that dies is an error of its jobs, and the next job starts another', async (t) => {
  const deriver = createDeriver()
  t.teardown(() => deriver.close())
  const broken = { scheme: 'bcrypt', settings: 'not bcrypt', cost: 5 } as const
  await t.rejects(deriver.derive(Buffer.from('U*U'), broken, 23), { code: 'internal_error' })
  const after = await deriver.derive(Buffer.from('U*U'), bcrypt.recipe, 23)
  t.ok(after.equals(bcrypt.digest))
})

t.test('the thread neither ends a process too early nor keeps it alive', async (t) => {
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
