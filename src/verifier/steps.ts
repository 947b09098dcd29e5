import { GatepassError } from '../core/errors.ts'
import type { CompactToken } from '../tokens/compact.ts'
import type { Step, TrustedIssuer, VerifiedToken } from './judgement.ts'
import { checkSignature, verifySignatureSync } from './signature.ts'

/** Takes a step of the judgement on a token. */
export function take(step: Step, token: CompactToken): boolean | Promise<boolean> {
  return 'verify' in step
    ? checkSignature(token, step.verify)
    : refresh(step.refresh, token.header.kid)
}

/** The same at once. Newer keys are asked for, but for the next token. */
export function takeAtOnce(step: Step, token: CompactToken): boolean {
  if ('verify' in step) return verifySignatureSync(token, step.verify)
  void refresh(step.refresh, token.header.kid)
  return false
}

async function refresh(issuers: readonly TrustedIssuer[], kid: string): Promise<true> {
  await Promise.all(issuers.map(({ keys }) => keys.refresh(kid)))
  return true
}

/**
 * What is to be waited for before a good token is accepted: the first list of what its issuer has revoked.
 * Who starts in the moment in which an issuer dies would otherwise accept who has signed out.
 */
export function firstList({ issuer }: VerifiedToken): Promise<void> | undefined {
  return issuer.revocations?.isPending ? issuer.revocations.ready?.() : undefined
}

/** @throws `revocations_stale` before there is that list, which is asked for then */
export function demandFirstList(found: VerifiedToken): void {
  const list = firstList(found)
  if (list === undefined) return
  list.catch(() => {}) // nobody waits for it
  throw new GatepassError('revocations_stale')
}
