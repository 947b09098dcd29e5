import t from 'tap'
import { ReplayWindow } from '../../../src/verifier/dpop/replay-window.ts'
import fc from '../../support/properties.ts'

const t0 = 1_795_478_400
const maxAge_s = 60

t.test('knows what it has seen, by key and id', async (t) => {
  const window = new ReplayWindow({ proofsMax: 1000, maxAge_s })
  t.equal(window.note('key-1', 'a', t0, t0), 'new')
  t.equal(window.note('key-1', 'a', t0, t0 + maxAge_s), 'seen')
  t.equal(window.note('key-1', 'b', t0, t0), 'new')
  t.equal(window.note('key-2', 'a', t0, t0), 'new')
})

t.test('forgets what is too old to be accepted again', async (t) => {
  const window = new ReplayWindow({ proofsMax: 100_000, maxAge_s })
  for (let n = 0; n < 500; n += 1) window.note('key', `${n}`, t0, t0)
  t.equal(window.size, 500)
  window.note('key', 'later', t0 + maxAge_s + 1, t0 + maxAge_s + 1)
  t.equal(window.size, 1)
  t.equal(window.note('key', '0', t0, t0 + maxAge_s + 1), 'full', 'and never takes it for new')
})

t.test('a flood by one key is bounded, and its own affair', async (t) => {
  const proofsMax = 6400
  const window = new ReplayWindow({ proofsMax, maxAge_s })
  const others = Array.from({ length: 1000 }, (_, n) => `other-${n}`)
  for (const other of others) window.note(other, 'first', t0, t0)
  let refused = 0
  for (let n = 0; n < 50_000; n += 1) {
    if (window.note('flooder', `${n}`, t0 + 1, t0 + 1) === 'full') refused += 1
  }
  t.ok(window.size <= proofsMax, `${window.size}`)
  t.ok(refused > 49_000)
  const outcomes = others.map((other) => window.note(other, 'second', t0 + 1, t0 + 1))
  const lost = outcomes.filter((outcome) => outcome !== 'new').length
  t.ok(lost < 100, `${lost} of 1000 other keys are held up`)
  const replays = others.map((other) => window.note(other, 'first', t0, t0 + 1))
  t.notOk(replays.includes('new'))
  t.equal(window.note('flooder', 'next', t0 + 3, t0 + 3), 'new', 'it is over with the second')
})

t.test('a clock that goes back lets nothing pass twice, nor locks everybody out', async (t) => {
  const window = new ReplayWindow({ proofsMax: 1000, maxAge_s })
  window.note('key', 'a', t0, t0)
  window.note('key', 'b', t0 + 100, t0 + 100)
  t.not(window.note('key', 'a', t0, t0), 'new')
  const year_s = 365 * 86_400
  window.note('key', 'c', t0 + year_s, t0 + year_s)
  t.equal(window.note('key', 'd', t0 + 101, t0 + 101), 'new')
})

t.test('property: none is new twice, however small the window', async () => {
  const step = fc.record({
    wait_s: fc.nat(3),
    age_s: fc.integer({ min: -5, max: maxAge_s }),
    key: fc.nat(3),
    jti: fc.nat(30),
  })
  fc.assert(
    fc.property(
      fc.integer({ min: 64, max: 640 }),
      fc.array(step, { maxLength: 300 }),
      (proofsMax, steps) => {
        const window = new ReplayWindow({ proofsMax, maxAge_s })
        const accepted = new Set<string>()
        let now = t0
        for (const { wait_s, age_s, key, jti } of steps) {
          now += wait_s
          // A proof never changes: its id says when it was made.
          const iat = now - age_s
          const name = `${jti} ${iat}`
          if (window.note(`key-${key}`, name, iat, now) !== 'new') continue
          if (accepted.has(`${key} ${name}`) || window.size > proofsMax) return false
          accepted.add(`${key} ${name}`)
        }
        return true
      },
    ),
    { numRuns: 300 },
  )
})
