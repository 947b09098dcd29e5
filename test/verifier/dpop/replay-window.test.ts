import t from 'tap'
import { ReplayWindow } from '../../../src/verifier/dpop/dpop-proofs.ts'
import fc from '../../support/properties.ts'

const t0 = 1_795_478_400
const maxAgeSeconds = 60

t.test('recognizes a replay by key and id', async (t) => {
  const window = new ReplayWindow({ maxProofs: 1000, maxAgeSeconds })
  t.equal(window.record('key-1', 'a', t0, t0), 'new')
  t.equal(window.record('key-1', 'a', t0, t0 + maxAgeSeconds), 'replayed')
  t.equal(window.record('key-1', 'b', t0, t0), 'new')
  t.equal(window.record('key-2', 'a', t0, t0), 'new')
})

t.test('forgets proofs that are too old to be accepted again', async (t) => {
  const window = new ReplayWindow({ maxProofs: 100_000, maxAgeSeconds })
  for (let n = 0; n < 500; n += 1) window.record('key', `${n}`, t0, t0)
  t.equal(window.size, 500)
  window.record('key', 'later', t0 + maxAgeSeconds + 1, t0 + maxAgeSeconds + 1)
  t.equal(window.size, 1)
  t.equal(
    window.record('key', '0', t0, t0 + maxAgeSeconds + 1),
    'forgotten',
    'and never takes it for new',
  )
})

t.test('a flood by one key is bounded, and affects one partition', async (t) => {
  const maxProofs = 6400
  const window = new ReplayWindow({ maxProofs, maxAgeSeconds })
  const others = Array.from({ length: 1000 }, (_, n) => `other-${n}`)
  for (const other of others) window.record(other, 'first', t0, t0)
  let refused = 0
  for (let n = 0; n < 50_000; n += 1) {
    if (window.record('flooder', `${n}`, t0 + 1, t0 + 1) === 'forgotten') refused += 1
  }
  t.ok(window.size <= maxProofs, `${window.size}`)
  t.ok(refused > 49_000)
  const outcomes = others.map((other) => window.record(other, 'second', t0 + 1, t0 + 1))
  const lost = outcomes.filter((outcome) => outcome !== 'new').length
  t.ok(lost < 100, `${lost} of 1000 other keys are held up`)
  const replays = others.map((other) => window.record(other, 'first', t0, t0 + 1))
  t.notOk(replays.includes('new'))
  t.equal(window.record('flooder', 'next', t0 + 3, t0 + 3), 'new', 'it is over with the second')
})

t.test('a flood of proofs that are dated ahead does not keep out other keys', async (t) => {
  const window = new ReplayWindow({ maxProofs: 6400, maxAgeSeconds })
  const record = (n: number) => window.record('flooder', `${n}`, t0 + 5, t0)
  const outcomes = Array.from({ length: 200 }, (_, n) => record(n))
  t.same(outcomes, [...Array(50).fill('new'), ...Array(150).fill('early')])
  t.equal(record(0), 'replayed')
  const others = Array.from({ length: 1000 }, (_, n) => `other-${n}`)
  const lost = others.filter((other) => window.record(other, 'first', t0, t0) !== 'new')
  t.same(lost, [])
  t.equal(window.record('flooder', 'next', t0 + 6, t0 + 5), 'new')
})

t.test(
  'a clock that is set back allows no replay, and does not lock out all clients',
  async (t) => {
    const window = new ReplayWindow({ maxProofs: 1000, maxAgeSeconds })
    window.record('key', 'a', t0, t0)
    window.record('key', 'b', t0 + 100, t0 + 100)
    t.not(window.record('key', 'a', t0, t0), 'new')
    const year_s = 365 * 86_400
    window.record('key', 'c', t0 + year_s, t0 + year_s)
    t.equal(window.record('key', 'd', t0 + 101, t0 + 101), 'new')
  },
)

t.test('property: no proof is accepted twice, however small the window', async () => {
  const step = fc.record({
    wait_s: fc.nat(3),
    age_s: fc.integer({ min: -5, max: maxAgeSeconds }),
    key: fc.nat(3),
    jti: fc.nat(30),
  })
  fc.assert(
    fc.property(
      fc.integer({ min: 64, max: 640 }),
      fc.array(step, { maxLength: 300 }),
      (maxProofs, steps) => {
        const window = new ReplayWindow({ maxProofs, maxAgeSeconds })
        const accepted = new Set<string>()
        let now = t0
        for (const { wait_s, age_s, key, jti } of steps) {
          now += wait_s
          // A proof never changes: its id says when it was made.
          const iat = now - age_s
          const name = `${jti} ${iat}`
          if (window.record(`key-${key}`, name, iat, now) !== 'new') continue
          if (accepted.has(`${key} ${name}`) || window.size > maxProofs) return false
          accepted.add(`${key} ${name}`)
        }
        return true
      },
    ),
    { numRuns: 300 },
  )
})
