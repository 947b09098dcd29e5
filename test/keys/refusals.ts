import { type KeyPolicy, keyState, noticeMs } from '../../src/keys/lifecycle.ts'
import { type History, type Run, type Signing, signings, simulate } from './simulation.ts'

/**
 * Returns the true times of every JWKS copy that a verifier may use for an unexpired token of `signing`.
 * They range from one max-age before the first token until the last one expires by a slow clock.
 */
function copiesFor(signing: Signing, history: History, policy: KeyPolicy) {
  const made = history.made.get(signing.kid)
  const oldestMs = signing.fromMs - policy.jwksMaxAgeMs
  return {
    // The very first key and the replacement of a revoked key are not announced. They count from when
    // every replica has noticed them.
    fromMs: made?.isUrgent ? Math.max(oldestMs, made.atMs + noticeMs(policy)) : oldestMs,
    untilMs: Math.min(
      signing.untilMs - 1 + signing.run.aheadMs + policy.accessTtlMs,
      history.revokedAtMs.get(signing.kid) ?? Infinity,
    ),
  }
}

/** Describes the tokens that some copy of the JWKS would refuse. */
function refusals(history: History, policy: KeyPolicy): string[] {
  const problems: string[] = []
  for (const signing of signings(history)) {
    const copies = copiesFor(signing, history, policy)
    for (const { run, fromMs, untilMs, keys } of history.spans) {
      const firstMs = Math.max(fromMs, copies.fromMs)
      const lastMs = Math.min(untilMs, copies.untilMs) - 1
      if (firstMs > lastMs) continue
      const key = keys.find(({ kid }) => kid === signing.kid)
      if (key === undefined) {
        problems.push(`${signing.kid} of ${signing.fromMs} is not known at ${firstMs}`)
      } else if (keyState(key, keys, policy, lastMs + run.aheadMs) === 'removed') {
        problems.push(`${signing.kid} of ${signing.fromMs} is removed at ${lastMs}`)
      }
    }
  }
  return problems
}

/** Throws when some verifier would refuse an unexpired token of an unrevoked key. */
export function neverRefused(replicas: readonly Run[][], policy: KeyPolicy): void {
  const [problem] = refusals(simulate(replicas.flat(), policy), policy)
  if (problem !== undefined) throw new Error(problem)
}
