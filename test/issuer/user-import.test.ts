import { setImmediate } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { GatepassError } from '../../src/core/errors.ts'
import { PasswordHasher } from '../../src/issuer/passwords/password-hasher.ts'
import { type ImportProgress, importUsers, readLines } from '../../src/issuer/user-import.ts'
import { SqliteAccountStore } from '../../src/stores/sqlite/account-store.ts'
import { account, someHash } from '../support/accounts.ts'
import { FakeClock } from '../support/clock.ts'
import { collect } from '../support/collect.ts'
import { cheapHashing } from '../support/hashing.ts'
import fc from '../support/properties.ts'

const clock = new FakeClock(1_000_000)
const argon2id =
  '$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4'
const scrypt =
  '$scrypt$ln=14,r=8,p=1$U29kaXVtQ2hsb3JpZGU$cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofLVQylVYT8Pz2LUlwUkKpr55h6F3A1lHkDfzwF7RVdYhw'

function line(loginName: string, more: object = {}): string {
  return JSON.stringify({ login_name: loginName, password_hash: someHash, ...more })
}

async function* bytesOf(...parts: (string | Uint8Array)[]) {
  for (const part of parts) yield Buffer.from(part)
}

/** Imports into an empty store; gives back all that was reported. */
function setUp(t: Test) {
  const accounts = new SqliteAccountStore(':memory:')
  t.teardown(() => accounts.close())
  const problems: [line: number, reason: string][] = []
  const progress: ImportProgress[] = []
  const run = (ndjson: AsyncIterable<Uint8Array>, batchSize?: number) =>
    importUsers(ndjson, {
      accounts,
      clock,
      onProblem: (lineNumber, reason) => problems.push([lineNumber, reason]),
      onProgress: (now) => progress.push(now),
      ...(batchSize === undefined ? {} : { batchSize }),
    })
  return { accounts, problems, progress, run }
}

t.test('imports an account per line', async (t) => {
  const { accounts, problems, run } = setUp(t)
  const attributes = { email: 'alice@example.com', roles: ['admin', null, { a: 1.5 }] }
  const more = { password_hash: argon2id, sub: 'auth0|12345', attributes, disabled: true }
  const counts = await run(bytesOf(`${line('Alice', more)}\n${line('bob')}\n`))
  t.strictSame(counts, { imported: 2, skipped: 0, bad: 0 })
  t.strictSame(problems, [])
  t.strictSame(await accounts.findByLoginName('alice'), {
    sub: 'auth0|12345',
    loginName: 'alice',
    passwordHash: argon2id,
    attributes,
    disabled: true,
    createdAtMs: 1_000_000,
    updatedAtMs: 1_000_000,
  })
  const bob = await accounts.findByLoginName('bob')
  t.match(bob, { passwordHash: someHash, disabled: false })
  t.same(bob?.attributes, {})
  t.match(bob?.sub, /^[0-9a-f-]{36}$/)
})

t.test('bad lines wait until the earlier ones are reported', async (t) => {
  const reported: number[] = []
  const { promise: slowReader, resolve: goOn } = Promise.withResolvers<void>()
  const accounts = { create: async () => [] }
  const onProblem = (lineNumber: number) => {
    reported.push(lineNumber)
    return slowReader
  }
  const done = importUsers(bytesOf('one\ntwo\n', 'three\n'), { accounts, clock, onProblem })
  await setImmediate()
  t.strictSame(reported, [1])
  goOn()
  t.match(await done, { bad: 3 })
  t.strictSame(reported, [1, 2, 3])
})

t.test('an imported user can sign in, with every hash scheme', async (t) => {
  const { accounts, run } = setUp(t)
  const hasher = new PasswordHasher(cheapHashing)
  t.teardown(() => hasher.close())
  const known = { password: argon2id, pleaseletmein: scrypt, 'U*U': someHash }
  const lines = Object.entries(known).map(([name, password_hash]) => line(name, { password_hash }))
  await run(bytesOf(lines.join('\n')))
  for (const password of Object.keys(known)) {
    const found = await accounts.findByLoginName(password.toLowerCase())
    t.equal(await hasher.verify(password, found?.passwordHash ?? ''), true, password)
  }
})

const bad: Record<string, [line: string | Uint8Array, reason: RegExp]> = {
  'not JSON': [`{"login_name": "x", "password_hash": "${someHash}"`, /not JSON/],
  'a header of CSV': ['login_name,password_hash', /not JSON/],
  'two objects': [`${line('x')} ${line('y')}`, /not JSON/],
  'no UTF-8': [Buffer.from(line('\u00ff'), 'latin1'), /UTF-8/],
  'a member twice': [`{"login_name":"x","login_name":"y","password_hash":"${someHash}"}`, /once/],
  'deep nesting': [
    line('x', { attributes: { a: JSON.parse('['.repeat(99) + ']'.repeat(99)) } }),
    /nest/,
  ],
  'very deep nesting': ['['.repeat(30_000) + ']'.repeat(30_000), /nest/],
  'an array': [`[${line('x')}]`, /expected object/],
  null: ['null', /expected object/],
  'no login name': [JSON.stringify({ password_hash: someHash }), /login_name/],
  'no hash': [JSON.stringify({ login_name: 'x' }), /password_hash/],
  'a number for a name': [line('x', { login_name: 5 }), /login_name: .*string/],
  'a refused login name': [line(' x'), /login name starts or ends with white space/],
  'an unknown member': [line('x', { passwrd: 'hunter22' }), /passwrd/],
  'a plain password': [line('x', { password_hash: 'hunter22' }), /hash is not acceptable.*scheme/],
  'a hash too costly': [
    line('x', { password_hash: argon2id.replace('m=256', 'm=4194304') }),
    /m must be/,
  ],
  'an empty sub': [line('x', { sub: '' }), /sub: must be/],
  'a sub with white space': [line('x', { sub: 'a b' }), /sub: must be/],
  'a sub with a line break': [line('x', { sub: 'a\r\nX-Auth: y' }), /sub: must be/],
  'a sub too long': [line('x', { sub: 'a'.repeat(256) }), /sub: must be/],
  'attributes that are none': [line('x', { attributes: [] }), /attributes/],
  'an attribute too large for a number': [
    line('x', { attributes: { n: 0 } }).replace('"n":0', '"n":1e999'),
    /attributes/,
  ],
  'disabled in words': [line('x', { disabled: 'yes' }), /disabled/],
  'a line too long': [line('x', { attributes: { a: 'a'.repeat(65_536) } }), /longer than 65536/],
}

for (const [what, [text, reason]] of Object.entries(bad)) {
  t.test(`a bad line is reported by its number and skipped: ${what}`, async (t) => {
    const { accounts, problems, run } = setUp(t)
    const counts = await run(bytesOf(`${line('before')}\n`, text, `\n${line('after')}\n`))
    t.strictSame(counts, { imported: 2, skipped: 0, bad: 1 })
    t.match(problems, [[2, reason]])
    t.equal((await accounts.list({ limit: 10 })).length, 2)
    t.notMatch(JSON.stringify(problems), /hunter22|E5YPO9km|nf65EOgL/, 'no hash, no password')
  })
}

t.test('a reason is short and safe to print', async (t) => {
  const { problems, run } = setUp(t)
  const hostile = { [`\u001b[2J\u009b\r\n\u202e${'x'.repeat(5000)}`]: 1 }
  await run(bytesOf(line('x', hostile)))
  const [[, reason] = [0, '']] = problems
  t.ok(reason.length <= 200)
  t.notMatch(reason, /\p{C}/u)
})

t.test('blank lines are ignored but counted', async (t) => {
  const { problems, run } = setUp(t)
  const counts = await run(bytesOf(`\n \t\r\n${line('a')}\r\n\nnonsense\n\n`))
  t.strictSame(counts, { imported: 1, skipped: 0, bad: 1 })
  t.match(problems, [[5, /JSON/]])
})

t.test('a byte order mark is accepted only at the start', async (t) => {
  const { problems, run } = setUp(t)
  const counts = await run(bytesOf('\ufeff', `${line('a')}\n\ufeff${line('b')}\n`))
  t.strictSame(counts, { imported: 1, skipped: 0, bad: 1 })
  t.match(problems, [[2, /JSON/]])
})

t.test('a line with a taken name or sub is skipped, also if an earlier line took it', async (t) => {
  const { accounts, problems, run } = setUp(t)
  const existing = account({ loginName: 'alice', sub: 'sub-1' })
  await accounts.create([existing])
  const lines = [
    line('ALICE'),
    line('bob', { sub: 'sub-1' }),
    line('carol'),
    line('Carol', { disabled: true }),
    line('dave', { sub: 'sub-4' }),
    line('erin', { sub: 'sub-4' }),
  ]
  for (const batchSize of [1, 100]) {
    const counts = await run(bytesOf(lines.join('\n')), batchSize)
    const again = batchSize !== 1
    t.strictSame(counts, { imported: again ? 0 : 2, skipped: again ? 6 : 4, bad: 0 })
  }
  t.strictSame(problems, [])
  t.strictSame(await accounts.findByLoginName('alice'), existing)
  t.match(await accounts.findByLoginName('carol'), { disabled: false })
})

t.test('an empty stream imports nothing', async (t) => {
  const { progress, run } = setUp(t)
  t.strictSame(await run(bytesOf()), { imported: 0, skipped: 0, bad: 0 })
  t.strictSame(progress, [{ imported: 0, skipped: 0, bad: 0, lines: 0, bytes: 0 }])
})

t.test('reports progress after each batch', async (t) => {
  const { accounts, progress, run } = setUp(t)
  const lines = Array.from({ length: 25 }, (_, n) => `${line(`user-${n}`)}\n`)
  lines[3] = 'nonsense\n'
  const text = lines.join('')
  t.strictSame(await run(bytesOf(text), 10), { imported: 24, skipped: 0, bad: 1 })
  const upTo = (count: number) => Buffer.byteLength(lines.slice(0, count).join(''))
  t.strictSame(progress, [
    { imported: 10, skipped: 0, bad: 1, lines: 11, bytes: upTo(11) },
    { imported: 20, skipped: 0, bad: 1, lines: 21, bytes: upTo(21) },
    { imported: 24, skipped: 0, bad: 1, lines: 25, bytes: upTo(25) },
  ])
  t.equal((await accounts.list({ limit: 100 })).length, 24)
})

t.test('reads at most one batch ahead', async (t) => {
  let yielded = 0
  let created = 0
  async function* many() {
    for (; yielded < 3000; yielded += 1) {
      if (yielded - created > 1001) t.fail(`${yielded} read, ${created} created`)
      yield Buffer.from(`${line(`user-${yielded}`)}\n`)
    }
  }
  const accounts = {
    create: async (batch: readonly unknown[]) => {
      created += batch.length
      return []
    },
  }
  t.match(await importUsers(many(), { accounts, clock }), { imported: 3000 })
})

t.test('a store receives no empty batch, which a user base may refuse', async (t) => {
  const sizes: number[] = []
  const accounts = {
    create: async (batch: readonly unknown[]) => {
      sizes.push(batch.length)
      return []
    },
  }
  const lines = ['a', 'b', 'c', 'd'].map((name) => line(name)).join('\n')
  await importUsers(bytesOf(lines), { accounts, clock, batchSize: 2 })
  await importUsers(bytesOf(), { accounts, clock })
  t.strictSame(sizes, [2, 2])
})

t.test('a failing store ends the import, and committed accounts stay', async (t) => {
  const { accounts } = setUp(t)
  let batches = 0
  const failing = {
    create: async (batch: Parameters<typeof accounts.create>[0]) => {
      batches += 1
      if (batches === 2) throw new GatepassError('store_unavailable')
      return accounts.create(batch)
    },
  }
  const lines = ['a', 'b', 'c', 'd'].map((name) => line(name)).join('\n')
  const stopped = importUsers(bytesOf(lines), { accounts: failing, clock, batchSize: 2 })
  await t.rejects(stopped, { code: 'store_unavailable' })
  const resumed = await importUsers(bytesOf(lines), { accounts, clock })
  t.strictSame(resumed, { imported: 2, skipped: 2, bad: 0 })
})

async function* chunks(parts: Iterable<string | Uint8Array>) {
  for (const part of parts) yield Buffer.from(part)
}

async function read(maxBytes: number, ...parts: string[]) {
  const lines = await collect(readLines(chunks(parts), maxBytes))
  return lines.map(({ bytes }) => bytes?.toString() ?? null)
}

t.test('lines end with LF, the last line may end without', async (t) => {
  t.strictSame(await read(10), [])
  t.strictSame(await read(10, ''), [])
  t.strictSame(await read(10, 'a'), ['a'])
  t.strictSame(await read(10, 'a\n'), ['a'])
  t.strictSame(await read(10, '\n\na\n\n'), ['', '', 'a', ''])
  t.strictSame(await read(10, 'a', 'b\nc', '', '\n', 'd'), ['ab', 'c', 'd'])
  t.strictSame(await read(10, 'a\r\nb\rc'), ['a\r', 'b\rc'])
})

t.test('a line that is too long is skipped, and later lines are read', async (t) => {
  t.strictSame(await read(3, 'abc\nabcd\nef\n'), ['abc', null, 'ef'])
  t.strictSame(await read(3, 'ab', 'cd', 'efgh', 'ij\nkl', '\nmnop'), [null, 'kl', null])
})

t.test('each line has its number and its end', async (t) => {
  const lines = await collect(readLines(chunks(['ä\nlong', ' line\n', '\nx']), 4))
  t.strictSame(
    lines.map(({ number, endByte }) => [number, endByte]),
    [
      [1, 3],
      [2, 13],
      [3, 14],
      [4, 15],
    ],
  )
})

t.test('an endless line uses bounded memory', async (t) => {
  const chunk = Buffer.alloc(1024 * 1024, 'a')
  let heldBytes = 0
  async function* endless() {
    for (let n = 0; n < 512; n += 1) {
      yield Buffer.from(chunk)
      if (n % 128 === 127) {
        globalThis.gc?.()
        heldBytes = Math.max(heldBytes, process.memoryUsage().arrayBuffers)
      }
    }
  }
  const lines = await collect(readLines(endless(), 64 * 1024))
  t.strictSame(
    lines.map(({ bytes }) => bytes),
    [null],
  )
  t.ok(heldBytes < 256 * 1024 * 1024, `${heldBytes} bytes`)
})

t.test('chunk boundaries make no difference', async () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', '\n', 'ä', '😀') })
  const cuts = fc.array(fc.nat({ max: 8 }), { minLength: 1 })
  await fc.assert(
    fc.asyncProperty(text, cuts, async (text, cuts) => {
      const bytes = Buffer.from(text)
      const parts: Buffer[] = []
      for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
        const length = (cuts[turn % cuts.length] ?? 0) + (turn % 2)
        parts.push(bytes.subarray(at, at + length))
        at += length
      }
      const lines = await collect(readLines(chunks(parts), 1000))
      const expected = text.split('\n')
      if (expected.at(-1) === '') expected.pop()
      return lines.map(({ bytes }) => bytes?.toString()).join('|') === expected.join('|')
    }),
  )
})
