import t from 'tap'
import type { TokenOrigin } from '../../src/verifier/token-cache.ts'
import { createPrints } from '../../src/verifier/token-index.ts'
import { TrialTokens } from '../../src/verifier/trial-tokens.ts'
import fc from '../support/properties.ts'

const roomBytes = 1024 ** 2

/** Tokens of this size fill a chunk of that room by a few. */
const textOf = (n: number, length = 3_000) => `${String(n).padEnd(length, '.')}${n % 3}`

const originOf = (n: number) => ({ key: { kid: `key-${n}` } }) as TokenOrigin
const origins = [originOf(0), originOf(1), originOf(2)]

/** Its callers need no prints, many of which are the same. */
function trialOf() {
  const trial = new TrialTokens(roomBytes)
  const printOf = createPrints(7)
  return {
    trial,
    add: (token: string, origin: TokenOrigin) => trial.add(token, printOf(token), origin),
    take: (token: string) => trial.take(token, printOf(token)),
  }
}

t.test('gives back once where a token is from, and forgets it with that', async (t) => {
  const { trial, add, take } = trialOf()
  for (const [n, origin] of origins.entries()) add(textOf(n), origin)
  add(textOf(9, 200_000), originOf(9))
  t.equal(trial.size, 4)
  t.equal(take(textOf(1)), origins[1])
  t.equal(take(textOf(1)), undefined)
  t.equal(take(textOf(1, 2_999)), undefined)
  t.match(take(textOf(9, 200_000)), { key: { kid: 'key-9' } })
  t.equal(take(textOf(0)), origins[0])
  t.equal(take(textOf(2)), origins[2])
  t.equal(trial.size, 0)
  t.equal(trial.bytes, 0, 'nor is there any memory left')
  t.equal(trial.dropOldest(), 0)
})

t.test('what comes again is where it came last', async (t) => {
  const { trial, add, take } = trialOf()
  add(textOf(1), originOf(1))
  add(textOf(1), originOf(2))
  t.equal(trial.size, 1)
  t.match(take(textOf(1)), { key: { kid: 'key-2' } })
  t.equal(trial.size, 0)
})

t.test('the oldest go first, some at once, and their memory serves the next', async (t) => {
  const { trial, add, take } = trialOf()
  for (let n = 0; n < 100; n += 1) add(textOf(n), originOf(n))
  const { bytes } = trial
  let dropped = 0
  for (let n = 100; n < 1_000; n += 1) {
    add(textOf(n), originOf(n))
    if (trial.bytes > bytes) dropped += trial.dropOldest()
    if (trial.bytes > bytes) return t.fail(`${trial.bytes} bytes after ${n}`)
  }
  t.equal(trial.size, 1_000 - dropped)
  for (let n = 0; n < 1_000; n += 1) {
    const origin = take(textOf(n))
    if (origin?.key.kid !== (n < dropped ? undefined : `key-${n}`)) return t.fail(`token ${n}`)
  }
})

t.test('whatever happens, it does as a Map does', async () => {
  const action = fc.record({
    what: fc.constantFrom('add', 'add', 'add', 'take', 'dropOldest'),
    n: fc.nat(30),
    length: fc.constantFrom(3, 1_000, 5_001, 20_000),
    origin: fc.constantFrom(...origins),
  })
  fc.assert(
    fc.property(fc.array(action, { maxLength: 200 }), (actions) => {
      const { trial, add, take } = trialOf()
      const model = new Map<string, TokenOrigin>()
      for (const { what, n, length, origin } of actions) {
        const token = textOf(n, length)
        if (what === 'add') {
          add(token, origin)
          model.delete(token)
          model.set(token, origin)
        } else if (what === 'take') {
          if (take(token) !== model.get(token)) return false
          model.delete(token)
        } else {
          // A Map has them in the order in which they came, too.
          const gone = [...model.keys()].slice(0, trial.dropOldest())
          for (const one of gone) model.delete(one)
        }
        if (trial.size !== model.size || (trial.size === 0) !== (trial.bytes === 0)) return false
      }
      return [...model].every(([token, origin]) => take(token) === origin) && trial.bytes === 0
    }),
    { numRuns: 300 },
  )
})
