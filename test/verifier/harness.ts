import type { Test } from 'tap'
import { isGatepassError } from '../../src/core/errors.ts'
import { algorithmNames } from '../../src/tokens/algorithms.ts'
import { createFixedKeys, type KeySource, readKeySet } from '../../src/verifier/keys/key-source.ts'
import type { VerifierOptions } from '../../src/verifier/options.ts'
import { createVerifier, type Verifier } from '../../src/verifier/verifier.ts'
import { FakeClock } from '../support/clock.ts'
import { audience, issuer, makeKey, now_s, type TestKey } from '../support/tokens.ts'
import { adapters } from './adapters.ts'

export { answerOf } from './adapters.ts'

/** One key of each algorithm. */
export const keys: readonly TestKey[] = algorithmNames.map((alg) => makeKey(alg))

export function keyOf(alg: string): TestKey {
  const key = keys.find((key) => key.alg === alg)
  if (key === undefined) throw new Error(`there is no key of ${alg}`)
  return key
}

export const jwks = { keys: keys.map((key) => key.publicJwk) }

export const options: VerifierOptions = {
  issuer,
  audience,
  jwks,
  clock: new FakeClock(now_s * 1000),
}

/** The pointers of the problems in the error for these options. */
export function problemsOf(given: unknown): string[] {
  try {
    createVerifier(given as VerifierOptions)
    return []
  } catch (error) {
    if (!isGatepassError(error, 'config_invalid')) throw error
    return (error.problems ?? []).map(({ pointer }) => pointer)
  }
}

/** A key source whose keys the test replaces. */
export function changingKeys(...first: readonly TestKey[]) {
  const fixed = (keys: readonly TestKey[]) =>
    createFixedKeys(readKeySet({ keys: keys.map((key) => key.publicJwk) }))
  let current = fixed(first)
  const source: KeySource = { ...current, find: (kid, alg) => current.find(kid, alg) }
  return {
    source,
    replace(...keys: readonly TestKey[]) {
      current = fixed(keys)
    },
    fail() {
      current = { ...current, find: () => 'keys_unavailable' }
    },
  }
}

/** Expects one answer, the code of an error or "accepted", from every way of checking a token. */
export type Expect = (token: string, answer: string, what?: string) => Promise<void>

/** Checks tokens by the library, the Fastify plugin and the forward-auth route. */
export async function openHarness(
  t: Test,
  changes: Partial<VerifierOptions> = {},
): Promise<Expect> {
  const verifier = createVerifier({ ...options, ...changes })
  t.teardown(() => verifier.close())
  return overEveryAdapter(t, verifier)
}

/** The same for a given verifier. */
export async function overEveryAdapter(t: Test, verifier: Verifier): Promise<Expect> {
  const ways = await Promise.all(
    Object.entries(adapters).map(async ([name, open]) => [name, await open(t, verifier)] as const),
  )
  return async (token, answer, what = answer) => {
    const answers: Record<string, string> = {}
    for (const [name, present] of ways) answers[name] = await present(token)
    t.same(answers, Object.fromEntries(ways.map(([name]) => [name, answer])), what)
  }
}

/** Whether a value is frozen at every level. */
export function isFrozen(value: unknown): boolean {
  if (Object(value) !== value) return true
  return Object.isFrozen(value) && Object.values(value as object).every(isFrozen)
}
