import { deepStrictEqual } from 'node:assert/strict'
import t from 'tap'
import { isGatepassError } from '../../../src/core/errors.ts'
import { formatArgon2id, parsePasswordHash } from '../../../src/issuer/passwords/password-hash.ts'
import fc from '../../support/properties.ts'

const salt = 'c29tZXNhbHQ' // somesalt
const digest = 'nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4'
const bcrypt = '$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW'

t.test('argon2id is parsed', async (t) => {
  const { parameters, digest: bytes } = parsePasswordHash(
    `$argon2id$v=19$m=256,t=2,p=1$${salt}$${digest}`,
  )
  t.strictSame(parameters, {
    scheme: 'argon2id',
    memoryKib: 256,
    passes: 2,
    parallelism: 1,
    salt: Buffer.from('somesalt'),
  })
  t.equal(bytes.toString('hex').slice(0, 8), '9dfeb910')
})

t.test('scrypt is parsed', async (t) => {
  const { parameters } = parsePasswordHash(`$scrypt$ln=15,r=8,p=2$${salt}$${digest}`)
  t.strictSame(parameters, {
    scheme: 'scrypt',
    log2Cost: 15,
    blockSize: 8,
    parallelism: 2,
    salt: Buffer.from('somesalt'),
  })
})

t.test('bcrypt is parsed in each of its variants', async (t) => {
  for (const name of ['2a', '2b', '2y']) {
    const { parameters, digest: bytes } = parsePasswordHash(bcrypt.replace('2b', name))
    t.strictSame(parameters, {
      scheme: 'bcrypt',
      settings: `$${name}$05$CCCCCCCCCCCCCCCCCCCCC.`,
      cost: 5,
    })
    t.equal(bytes.length, 23)
  }
})

t.test('a formatted hash parses to the same cost, salt and digest', async () => {
  const bytes = (minLength: number) =>
    fc.uint8Array({ minLength, maxLength: 64 }).map((array) => Buffer.from(array))
  const allParameters = fc.record(
    {
      scheme: fc.constant('argon2id' as const),
      memoryKib: fc.integer({ min: 128, max: 65_536 }),
      passes: fc.integer({ min: 1, max: 64 }),
      parallelism: fc.integer({ min: 1, max: 16 }),
      salt: bytes(8),
    },
    { noNullPrototype: true },
  )
  fc.assert(
    fc.property(allParameters, bytes(16), (parameters, digest) => {
      const text = formatArgon2id({ parameters, digest })
      const read = parsePasswordHash(text)
      deepStrictEqual(read, { parameters, digest })
      return formatArgon2id({ parameters, digest: read.digest }) === text
    }),
    { numRuns: 200 },
  )
})

const argon2id = (cost: string, s = salt, d = digest) => `$argon2id$v=19$${cost}$${s}$${d}`
const scrypt = (cost: string, s = salt, d = digest) => `$scrypt$${cost}$${s}$${d}`
const refused: Record<string, string> = {
  nothing: '',
  'a plain password': 'correct horse battery staple',
  argon2i: `$argon2i$v=19$m=256,t=2,p=1$${salt}$${digest}`,
  argon2d: `$argon2d$v=19$m=256,t=2,p=1$${salt}$${digest}`,
  'the first version of argon2': `$argon2id$v=16$m=256,t=2,p=1$${salt}$${digest}`,
  'argon2 without a version': `$argon2id$m=256,t=2,p=1$${salt}$${digest}`,
  'argon2 with a key id': argon2id('m=256,t=2,p=1,keyid=abc'),
  'parameters in another order': argon2id('t=2,m=256,p=1'),
  'a leading zero': argon2id('m=0256,t=2,p=1'),
  'a sign': argon2id('m=+256,t=2,p=1'),
  'a digit that is not ASCII': argon2id('m=25٦,t=2,p=1'),
  'too little memory': argon2id('m=7,t=2,p=1'),
  'too little memory for its lanes': argon2id('m=31,t=2,p=4'),
  'too much memory': argon2id('m=1048577,t=1,p=1'),
  'a number beyond all': argon2id('m=99999999999999999999,t=1,p=1'),
  'no passes': argon2id('m=256,t=0,p=1'),
  'too many passes': argon2id('m=256,t=65,p=1'),
  'too many passes for its memory': argon2id('m=1048576,t=5,p=1'),
  'no lanes': argon2id('m=256,t=2,p=0'),
  'too many lanes': argon2id('m=256,t=2,p=17'),
  'a short salt': argon2id('m=256,t=2,p=1', 'c29tZXNhbA'),
  'a long salt': argon2id('m=256,t=2,p=1', 'A'.repeat(88)),
  'a short digest': argon2id('m=256,t=2,p=1', salt, 'AAAAAAAAAAAAAAAAAAAA'),
  'an empty digest': argon2id('m=256,t=2,p=1', salt, ''),
  'padded base64': argon2id('m=256,t=2,p=1', 'c29tZXNhbHQ='),
  'base64 with a spare bit set': argon2id('m=256,t=2,p=1', 'c29tZXNhbHR'),
  'base64 of an impossible length': argon2id('m=256,t=2,p=1', 'c29tZXNhbHQab'),
  base64url: argon2id('m=256,t=2,p=1', salt, digest.replace('/', '_')),
  'something behind': `${argon2id('m=256,t=2,p=1')}$`,
  'a line feed behind': `${argon2id('m=256,t=2,p=1')}\n`,
  'white space before': ` ${argon2id('m=256,t=2,p=1')}`,
  'far too long': argon2id('m=256,t=2,p=1', salt, 'A'.repeat(1_000_000)),
  'scrypt over 256 MiB': scrypt('ln=19,r=8,p=1'),
  'scrypt with ln=0': scrypt('ln=0,r=8,p=1'),
  'scrypt with N beyond what r allows': scrypt('ln=16,r=1,p=1'),
  'scrypt with a huge r': scrypt('ln=1,r=65,p=1'),
  'scrypt with a huge p': scrypt('ln=14,r=8,p=17'),
  'bcrypt cut short': bcrypt.slice(0, -1),
  'bcrypt with more behind': `${bcrypt}x`,
  'bcrypt with a foreign character': bcrypt.replace('YPO', 'Y+O'),
  'bcrypt of too low a cost': bcrypt.replace('$05', '$03'),
  'bcrypt of too high a cost': bcrypt.replace('$05', '$17'),
  'the flawed bcrypt': bcrypt.replace('2b', '2x'),
}

for (const [what, text] of Object.entries(refused)) {
  t.test(`refused: ${what}`, async (t) => {
    try {
      parsePasswordHash(text)
      t.fail('it was accepted')
    } catch (error) {
      if (!isGatepassError(error, 'password_hash_invalid')) throw error
      t.ok(error.detail, 'the reason is given')
      for (const part of [digest, salt, 'E5YPO9km']) t.notMatch(error.message, part)
    }
  })
}

t.test('the maximum cost is accepted', async (t) => {
  const allowed = [
    argon2id('m=8,t=1,p=1'),
    argon2id('m=1048576,t=4,p=16'),
    argon2id('m=65536,t=64,p=1'),
    scrypt('ln=18,r=8,p=16'),
    scrypt('ln=15,r=1,p=1'),
    bcrypt.replace('$05', '$16'),
    bcrypt.replace('$05', '$04'),
  ]
  for (const text of allowed) t.doesNotThrow(() => parsePasswordHash(text), text)
})

t.test('no text causes any other error', async () => {
  const pieces = fc.constantFrom(
    '$',
    'argon2id',
    'v=19',
    'm=256,t=2,p=1',
    'scrypt',
    '2b',
    '05',
    salt,
  )
  const texts = fc.oneof(
    fc.string(),
    fc.array(pieces).map((list) => list.join('')),
  )
  fc.assert(
    fc.property(texts, (text) => {
      try {
        parsePasswordHash(text)
      } catch (error) {
        return isGatepassError(error, 'password_hash_invalid')
      }
      return true
    }),
  )
})
