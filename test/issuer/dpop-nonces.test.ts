import t from 'tap'
import { DpopNonces } from '../../src/issuer/dpop-nonces.ts'
import { FakeClock } from '../support/clock.ts'

const issuer = 'https://auth.example.com'
const secret = Buffer.from('a test secret of at least 32 characters')
const newSecret = Buffer.from('another test secret of 32 characters or more')

const startMs = Date.UTC(2026, 0, 1)

function nonces(
  clock: FakeClock,
  options: { issuer?: string; secrets?: [Buffer, ...Buffer[]] } = {},
) {
  return new DpopNonces({ issuer, secrets: [secret], clockToleranceSeconds: 5, clock, ...options })
}

t.test('each replica accepts a nonce for two to four minutes', async (t) => {
  const clock = new FakeClock(startMs)
  const [one, other] = [nonces(clock), nonces(clock)]
  const nonce = one.current()
  t.match(nonce, /^[\w-]{43}$/)
  t.equal(other.current(), nonce)
  clock.advance_s(119)
  t.equal(one.current(), nonce)
  clock.advance_s(1)
  t.not(one.current(), nonce)
  clock.advance_s(119)
  t.ok(other.isValid(nonce), 'the last one')
  clock.advance_s(1)
  t.notOk(other.isValid(nonce))
})

t.test('a replica whose clock is behind accepts the nonce of the next period', async (t) => {
  const ahead = nonces(new FakeClock(startMs + 120_000)).current()
  t.notOk(nonces(new FakeClock(startMs + 114_000)).isValid(ahead))
  t.ok(nonces(new FakeClock(startMs + 115_000)).isValid(ahead))
})

t.test('a nonce of another issuer or of nobody is refused', async (t) => {
  const clock = new FakeClock(startMs)
  const own = nonces(clock)
  const stranger = nonces(clock, { secrets: [newSecret] })
  const sibling = nonces(clock, { issuer: 'https://other.example.com' })
  const nonce = own.current()
  for (const forged of [
    stranger.current(),
    sibling.current(),
    '',
    'x',
    `${nonce}x`,
    nonce.slice(1),
  ]) {
    t.notOk(own.isValid(forged), forged)
  }
})

t.test('a new secret keeps the nonces of the last one valid', async (t) => {
  const clock = new FakeClock(startMs)
  const before = nonces(clock).current()
  const rotated = nonces(clock, { secrets: [newSecret, secret] })
  t.not(rotated.current(), before)
  t.ok(rotated.isValid(before))
  t.ok(rotated.isValid(rotated.current()))
})
