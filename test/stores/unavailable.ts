import { inspect } from 'node:util'
import type { Test } from 'tap'
import { GatepassError } from '../../src/core/errors.ts'

/** Asserts that a call fails as `store_unavailable`. Resolves with its duration in milliseconds. */
export async function timeUntilUnavailable(t: Test, call: Promise<unknown>): Promise<number> {
  const startMs = performance.now()
  const error = await call.then(
    () => null,
    (error) => error,
  )
  const tookMs = performance.now() - startMs
  if (!(error instanceof GatepassError)) throw new Error('the call did not fail', { cause: error })
  t.match(error, { code: 'store_unavailable', retryAfterSeconds: 1 })
  return tookMs
}

/**
 * Asserts that opening a store fails as `store_unavailable` and reveals no password. Resolves with the
 * detail for the operator.
 */
export async function detailOfRefusal(
  t: Test,
  opening: Promise<unknown>,
  password: string,
): Promise<string> {
  const error = await opening.then(
    () => null,
    (error) => error,
  )
  if (!(error instanceof GatepassError)) throw new Error('the store was opened', { cause: error })
  t.equal(error.code, 'store_unavailable')
  t.notMatch(inspect(error, { depth: 10, showHidden: true }), password)
  return error.detail ?? ''
}
