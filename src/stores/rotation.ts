import { equalBytes } from '../core/secrets.ts'
import type { RotationOutcome, RotationRequest, Session } from './ports.ts'

/** What the rule says, and the session as it is from now on; the same object when nothing changed. */
export interface RotationDecision {
  readonly outcome: RotationOutcome
  readonly session: Session
}

/**
 * Invariant 4 as a pure function: what becomes of a session when one of its refresh tokens, whose
 * MAC is good, is presented. A store runs it, or its own statement of the same rule, atomically.
 */
export function decideRotation(session: Session, request: RotationRequest): RotationDecision {
  const { nowMs, policy } = request
  if (session.revokedAtMs !== null) return { outcome: 'revoked', session }
  if (nowMs >= session.expiresAtMs) return { outcome: 'expired', session }
  // Without the key a token is worth nothing, and says nothing about what its owner did with it.
  if (session.jkt !== null && session.jkt !== request.jkt) return { outcome: 'unproven', session }

  // A replica whose clock runs behind must not see a young generation as an old one.
  const withinGrace = Math.max(0, nowMs - session.mintedAtMs) < policy.graceMs
  const ahead = request.generation - session.generation

  // A store fail-over lost writes that we had acknowledged: the MAC proves that this one was ours.
  if (ahead > 0) {
    if (policy.graceMs === 0) {
      return { outcome: 'rotated', session: mint(session, request, request.generation + 1) }
    }
    const recovered = mint(session, request, request.generation)
    return { outcome: 'replayed', session: { ...recovered, presented: true } }
  }
  if (ahead === 0) {
    if (!withinGrace) {
      return { outcome: 'rotated', session: mint(session, request, session.generation + 1) }
    }
    if (session.presented) return { outcome: 'replayed', session }
    return { outcome: 'replayed', session: { ...session, presented: true } }
  }
  if (ahead === -1 && retriesLostAnswer(session, request)) {
    // Grace begins anew: a copy of this very request may be on its way, or one of another tab.
    return { outcome: 'replayed', session: mint(session, request, session.generation) }
  }
  if (ahead === -1 && withinGrace) return { outcome: 'replayed', session }
  return { outcome: 'reused', session: revoke(session, nowMs, policy.revokedKeptMs) }
}

/** The session ended for good; the row stays for a while, so that it is `revoked` and not `unknown`. */
export function revoke(session: Session, nowMs: number, keptMs: number): Session {
  return { ...session, revokedAtMs: nowMs, expiresAtMs: nowMs + keptMs }
}

function mint(session: Session, request: RotationRequest, generation: number): Session {
  const { nowMs, policy } = request
  return {
    ...session,
    generation,
    mintedAtMs: nowMs,
    presented: false,
    idempotencyKey: request.idempotencyKey,
    expiresAtMs: Math.min(nowMs + policy.idleMs, session.endsAtMs),
  }
}

/** The client never saw the current generation, and can show the key of the request that made it. */
function retriesLostAnswer(session: Session, request: RotationRequest): boolean {
  return (
    !session.presented &&
    session.idempotencyKey !== null &&
    request.idempotencyKey !== null &&
    equalBytes(session.idempotencyKey, request.idempotencyKey)
  )
}
