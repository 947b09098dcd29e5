import t from 'tap'
import { PasswordHasher } from '../../../src/issuer/passwords/password-hasher.ts'
import { cheapHashing } from '../../support/hashing.ts'

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

const hasher = new PasswordHasher(cheapHashing)
t.teardown(() => hasher.close())

for (const [whose, answers] of Object.entries(knownAnswers)) {
  t.test(`known answers: ${whose}`, async (t) => {
    for (const [password, hash] of answers) {
      t.ok(await hasher.verify(password, hash), hash)
      t.notOk(await hasher.verify(`x${password}`, hash))
    }
  })
}

t.test('scrypt may use the memory that its limits allow', async (t) => {
  const most =
    '$scrypt$ln=18,r=8,p=1$MDEyMzQ1Njc4OWFiY2RlZg$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'
  t.equal(await hasher.verify('password', most), false)
})
