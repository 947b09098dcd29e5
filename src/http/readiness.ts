import { isGatepassError } from '../core/errors.ts'

/** How long one check may take. */
const checkTimeoutMs = 1_000

/** Something that must work for the service to be worth a request; rejects when it does not. */
export type ReadinessCheck = () => Promise<unknown>

export interface Readiness {
  readonly ready: boolean
  /** For each check `ok`, or the code of what is wrong. */
  readonly checks: Readonly<Record<string, string>>
}

/** @param draining whether the process is on its way out */
export async function checkReadiness(
  checks: Readonly<Record<string, ReadinessCheck>>,
  draining: boolean,
): Promise<Readiness> {
  const results: Record<string, string> = Object.fromEntries(
    await Promise.all(
      Object.entries(checks).map(async ([name, check]) => [name, await outcome(check)]),
    ),
  )
  if (draining) results.process = 'shutting_down'
  return { ready: Object.values(results).every((result) => result === 'ok'), checks: results }
}

async function outcome(check: ReadinessCheck): Promise<string> {
  const { promise: late, resolve } = Promise.withResolvers<string>()
  const timer = setTimeout(resolve, checkTimeoutMs, 'timeout')
  try {
    return await Promise.race([check().then(() => 'ok'), late])
  } catch (error) {
    return isGatepassError(error) ? error.code : 'internal_error'
  } finally {
    clearTimeout(timer)
  }
}
