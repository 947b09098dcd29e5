import { mock } from 'node:test'
import t from 'tap'
import { isGatepassError } from '../../../src/core/errors.ts'
import type { HashJob } from '../../../src/issuer/passwords/hash-process.ts'
import type { HashParameters } from '../../../src/issuer/passwords/password-hash.ts'
import {
  checkPassword,
  type Deriver,
  PasswordHasher,
} from '../../../src/issuer/passwords/password-hasher.ts'
import { cheapHashing } from '../../support/hashing.ts'

const cheap = { ...cheapHashing, memoryKib: 64 }
const stored = (cost: string) =>
  `$argon2id$v=19$${cost}$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4`
const scrypt = '$scrypt$ln=14,r=8,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4'
const bcrypt = '$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW'

t.test('verifies the hashed password and no other', async (t) => {
  const hasher = new PasswordHasher(cheap)
  const hash = await hasher.hash('correct horse')
  t.match(hash, /^\$argon2id\$v=19\$m=64,t=1,p=1\$[^$]{22}\$[^$]{43}$/)
  t.not(await hasher.hash('correct horse'), hash, 'the salt is new each time')
  t.ok(await hasher.verify('correct horse', hash))
  for (const wrong of ['correct horsf', 'Correct horse', 'correct horse ', 'correct horse\0', '']) {
    t.notOk(await hasher.verify(wrong, hash), JSON.stringify(wrong))
  }
})

t.test('a password is compared by its bytes as typed', async (t) => {
  const hasher = new PasswordHasher(cheap)
  for (const password of ['\0'.repeat(8), '  spaces  ', 'grün😀!', 'a'.repeat(1024)]) {
    t.ok(await hasher.verify(password, await hasher.hash(password)))
  }
  const composed = await hasher.hash('gr\u00fcn1234')
  t.notOk(await hasher.verify('gru\u0308n1234', composed))
})

t.test('an invalid password is wrong even if its bytes match', async (t) => {
  const hasher = new PasswordHasher(cheap)
  const longest = 'a'.repeat(1024)
  t.notOk(await hasher.verify(`${longest}b`, await hasher.hash(longest)))
  t.notOk(await hasher.verify('password\ud800', await hasher.hash('password\ufffd')))
})

/** Whose digests are all zeros, each when the job is done. */
function deriverDoing(work: (jobs: readonly HashJob[]) => Promise<void>): Deriver {
  return {
    async derive(jobs) {
      await work(jobs)
      return jobs.map(({ digestBytes }) => {
        return { status: 'fulfilled', value: Buffer.alloc(digestBytes) }
      })
    },
    close: async () => {},
  }
}

t.test('I11: a jump of the clock during a hash does not fill the queue', async (t) => {
  mock.timers.enable({ apis: ['Date'], now: Date.UTC(2026, 0, 1) })
  t.teardown(() => mock.timers.reset())
  const deriver = deriverDoing(async () => mock.timers.tick(3_600_000))
  const hasher = new PasswordHasher({ ...cheap, maxConcurrent: 1 }, deriver)
  await hasher.hash('correct horse')
  await t.resolves(Promise.all(Array.from({ length: 10 }, () => hasher.hash('correct horse'))))
})

/** Notes what it is asked, and answers at once. */
function countingDeriver() {
  const asked: { parameters: HashParameters; passwordBytes: number; digestBytes: number }[] = []
  const deriver = deriverDoing(async (jobs) => {
    for (const { password, parameters, digestBytes } of jobs) {
      asked.push({ parameters, passwordBytes: password.length, digestBytes })
    }
  })
  return { deriver, asked }
}

t.test('I4: an unknown name costs the same work as a known one', async (t) => {
  const { deriver, asked } = countingDeriver()
  const hasher = new PasswordHasher(cheap, deriver)
  t.strictSame(asked, [], 'and there is nothing left to prepare at the first one')
  const known = await hasher.hash('correct horse')
  asked.length = 0
  for (const password of ['wrong password', '', 'x', 'a'.repeat(5000), '\ud800']) {
    await hasher.verify(password, known)
    await hasher.verifyDecoy(password)
    const [forKnown, forNothing, ...more] = asked.splice(0)
    t.strictSame(more, [])
    const withoutSalt = { parameters: { salt: null } }
    t.strictSame(
      { ...forKnown, parameters: { ...forKnown?.parameters, ...withoutSalt.parameters } },
      { ...forNothing, parameters: { ...forNothing?.parameters, ...withoutSalt.parameters } },
    )
    t.ok((forKnown?.passwordBytes ?? 0) <= 1024)
  }
})

t.test('a hash needs a rehash if it is weaker than the settings or of an old scheme', async (t) => {
  const hasher = new PasswordHasher(
    { ...cheap, memoryKib: 4096, passes: 3 },
    countingDeriver().deriver,
  )
  const needsRehash = (hash: string, password = 'x'.repeat(72)) =>
    hasher.needsRehash(hash, password)
  t.notOk(needsRehash(await hasher.hash('correct horse')))
  t.notOk(needsRehash(stored('m=4096,t=3,p=1')))
  t.notOk(needsRehash(stored('m=8192,t=4,p=2')), 'stronger than set is kept')
  t.ok(needsRehash(stored('m=4095,t=3,p=1')))
  t.ok(needsRehash(stored('m=8192,t=2,p=1')))
  t.ok(needsRehash(scrypt))
  t.ok(needsRehash(bcrypt))
  t.notOk(needsRehash(bcrypt, 'ä'.repeat(37)), 'bcrypt ignores a part of the password')
})

t.test('an invalid stored hash is an error', async (t) => {
  const hasher = new PasswordHasher(cheap)
  await t.rejects(hasher.verify('correct horse', 'plain text'), { code: 'password_hash_invalid' })
  t.throws(() => hasher.needsRehash('plain text', 'correct horse'), {
    code: 'password_hash_invalid',
  })
})

t.test('a cost beyond the limits of a stored hash is refused at startup', async (t) => {
  for (const cost of [{ memoryKib: 7 }, { passes: 0 }, { passes: 1.5 }, { parallelism: 17 }]) {
    t.throws(() => new PasswordHasher({ ...cheap, ...cost }), { code: 'config_invalid' })
  }
})

t.test('I6: concurrency and queue length are limited', async (t) => {
  let running = 0
  let mostRunning = 0
  const deriver = deriverDoing(async () => {
    running += 1
    mostRunning = Math.max(mostRunning, running)
    await new Promise<void>((resolve) => setImmediate(resolve))
    running -= 1
  })
  const hasher = new PasswordHasher({ ...cheap, maxConcurrent: 3, maxQueued: 4 }, deriver)
  const attempts = Array.from({ length: 20 }, () => hasher.verifyDecoy('correct horse'))
  const results = await Promise.allSettled(attempts)
  const refused = results.filter(
    (one) => one.status === 'rejected' && isGatepassError(one.reason, 'overloaded'),
  )
  t.equal(mostRunning, 3)
  t.equal(refused.length, 13)
})

t.test('bcrypt jobs do not delay Argon2id jobs', async (t) => {
  const bcryptDone = Promise.withResolvers<void>()
  const deriver = deriverDoing(async ([job]) => {
    if (job?.parameters.scheme === 'bcrypt') await bcryptDone.promise
  })
  const hasher = new PasswordHasher({ ...cheap, maxConcurrent: 2, maxQueued: 4 }, deriver)
  const old = Array.from({ length: 5 }, () => hasher.verify('correct horse', bcrypt))
  await t.rejects(hasher.verify('correct horse', bcrypt), { code: 'overloaded' })
  await hasher.verifyDecoy('correct horse')
  bcryptDone.resolve()
  t.strictSame(
    await Promise.all(old),
    Array.from({ length: 5 }, () => false),
  )
})

const accepted = ['12345678', ' '.repeat(8), '\0'.repeat(8), 'äöü€1', '😀😀', 'a'.repeat(1024)]
const refused = ['', '1234567', 'äöü', '😀abc', 'a'.repeat(1025), '€'.repeat(342), 'abcdefgh\ud800']

t.test('a password has 8 to 1,024 bytes of any characters', async (t) => {
  for (const password of accepted) t.doesNotThrow(() => checkPassword(password), password)
})

t.test('other passwords are refused, and the message does not repeat them', async (t) => {
  for (const password of refused) {
    t.throws(() => checkPassword(password), { code: 'password_invalid', status: 422 })
  }
  t.throws(() => checkPassword('hunter2'), { message: /^(?!.*hunter2)/ })
})
