import { GatepassError } from '../core/errors.ts'
import type { VerifiedToken } from './judgement.ts'

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
