import { GatepassError } from '../core/errors.ts'
import type { CompactToken } from '../tokens/compact.ts'
import type { Step, TrustedIssuer } from './judgement.ts'
import type { Revocations } from './revocation-list.ts'
import { checkSignature, verifySignatureSync } from './signature.ts'

/** Takes a step of the judgement on a token. */
export function take(step: Step, token: CompactToken): boolean | Promise<boolean> {
  if ('verify' in step) return checkSignature(token, step.verify)
  return 'await' in step ? settle(step.await) : refresh(step.refresh, token.header.kid)
}

/**
 * The same at once. What would have to be waited for is begun for the next token.
 *
 * @throws `revocations_stale`
 */
export function takeAtOnce(step: Step, token: CompactToken): boolean {
  if ('verify' in step) return verifySignatureSync(token, step.verify)
  if ('await' in step) {
    void settle(step.await)
    throw new GatepassError('revocations_stale')
  }
  void refresh(step.refresh, token.header.kid)
  return false
}

async function refresh(issuers: readonly TrustedIssuer[], kid: string): Promise<true> {
  await Promise.all(issuers.map(({ keys }) => keys.refresh(kid)))
  return true
}

async function settle(revocations: Revocations): Promise<true> {
  await revocations.ready?.()
  return true
}
