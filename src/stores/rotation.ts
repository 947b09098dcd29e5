import { equalBytes } from '../core/secrets.ts'
import type { RotationOutcome, RotationRequest, Session } from './ports.ts'

/** The outcome, and the session after it; the same object when nothing changes. */
export interface RotationDecision {
  readonly outcome: RotationOutcome
  readonly session: Session
}

/** Stands for the digest of an Idempotency-Key where a request has none. */
export const noKey = Buffer.alloc(32)

/**
 * How much a generation remembers of the keys it was replayed for: the first four bytes of the digests
 * of the last eight. Two keys that begin alike cost one more replay, and nothing else.
 */
export const replayKeyBytes = 4
export const replayKeysBytes = 8 * replayKeyBytes

/**
 * Decides what becomes of a session when a client presents one of its refresh tokens, whose MAC is
 * good: invariant 4, the table in docs/architecture.md. Each store runs this function, or the same
 * rule in its own language, as one atomic step.
 */
export function decideRotation(session: Session, request: RotationRequest): RotationDecision {
  const { nowMs, policy } = request
  if (session.revokedAtMs !== null) return { outcome: 'revoked', session }
  if (nowMs >= session.expiresAtMs) return { outcome: 'expired', session }
  // A token without its key is worth nothing. It says nothing about the owner of the session either.
  if (session.jkt !== null && session.jkt !== request.jkt) return { outcome: 'unproven', session }

  const ahead = request.generation - session.generation
  if (ahead > 0) return decideLost(session, request)
  if (ahead === 0) return decideCurrent(session, request)
  const decision = ahead === -1 ? decideReplaced(session, request) : null
  return decision ?? { outcome: 'reused', session: revoke(session, nowMs, policy.revokedKeptMs) }
}

/** Revokes a session for good. Its row stays for `keptMs`, so that it is `revoked`, not `unknown`. */
export function revoke(session: Session, nowMs: number, keptMs: number): Session {
  return { ...session, revokedAtMs: nowMs, expiresAtMs: nowMs + keptMs }
}

/** The fields of a generation that was just minted. */
export function newGeneration(
  generation: number,
  mintedAtMs: number,
  idempotencyKey: Buffer | null = null,
) {
  return {
    generation,
    mintedAtMs,
    idempotencyKey,
    presented: false,
    firstRetryAtMs: null,
    lastRetryAtMs: null,
    otherKey: null,
    replayKeys: null,
    lateReplayAtMs: null,
  }
}

/** A store fail-over lost this generation. The MAC proves that we issued it. */
function decideLost(session: Session, request: RotationRequest): RotationDecision {
  const { generation, idempotencyKey, policy } = request
  if (policy.graceMs === 0) return rotate(session, request)
  const lost = mint(session, request, generation)
  const replayKeys = rememberKey(null, idempotencyKey)
  return replay({ ...lost, idempotencyKey: null, presented: true, replayKeys })
}

function decideCurrent(session: Session, request: RotationRequest): RotationDecision {
  const { idempotencyKey, nowMs } = request
  const isReplay = isRemembered(session.replayKeys, idempotencyKey)
  // A copy of the last retry may be on its way. It needs this generation to be the current one.
  if (isWithinGrace(session.mintedAtMs, request) || isWithinGrace(session.lastRetryAtMs, request)) {
    if (session.presented && (isReplay || idempotencyKey === null)) return replay(session)
    const replayKeys = isReplay
      ? session.replayKeys
      : rememberKey(session.replayKeys, idempotencyKey)
    return replay({ ...session, presented: true, replayKeys })
  }
  // A copy of a request that was answered with this generation must not mint the next one: nobody
  // may read the answer. Without a limit a thief could poll with such a copy and never be noticed.
  if (!isReplay) return rotate(session, request)
  if (session.lateReplayAtMs === null) return replay({ ...session, lateReplayAtMs: nowMs })
  return isWithinGrace(session.lateReplayAtMs, request) ? replay(session) : rotate(session, request)
}

/** Decides about the generation before the current one. Null: this is reuse. */
function decideReplaced(session: Session, request: RotationRequest): RotationDecision | null {
  const { idempotencyKey, nowMs } = request
  const isRetry = isKey(idempotencyKey, session.idempotencyKey)
  // The client may never have received the current generation.
  if (isRetry && !session.presented) {
    const firstRetryAtMs = session.firstRetryAtMs ?? nowMs
    return replay({ ...session, firstRetryAtMs, lastRetryAtMs: nowMs })
  }
  if (isWithinGrace(session.mintedAtMs, request)) return replay(session)
  if (isRetry) return isWithinGrace(session.lastRetryAtMs, request) ? replay(session) : null
  // Another tab of the browser that has retried. Retries do not move this window: a thief who
  // retries would otherwise keep it open for the owner, and never be noticed.
  if (!isWithinGrace(session.firstRetryAtMs, request)) return null
  const otherKey = idempotencyKey ?? noKey
  if (session.otherKey === null) return replay({ ...session, otherKey })
  return isKey(otherKey, session.otherKey) ? replay(session) : null
}

function replay(session: Session): RotationDecision {
  return { outcome: 'replayed', session }
}

function rotate(session: Session, request: RotationRequest): RotationDecision {
  return { outcome: 'rotated', session: mint(session, request, request.generation + 1) }
}

function mint(session: Session, request: RotationRequest, generation: number): Session {
  const { nowMs, policy, idempotencyKey } = request
  return {
    ...session,
    ...newGeneration(generation, nowMs, idempotencyKey),
    expiresAtMs: Math.min(nowMs + policy.idleMs, session.endsAtMs),
  }
}

/** A replica whose clock runs behind sees an instant in its future as one within the grace period. */
function isWithinGrace(sinceMs: number | null, { nowMs, policy }: RotationRequest): boolean {
  return sinceMs !== null && Math.max(0, nowMs - sinceMs) < policy.graceMs
}

function rememberKey(keys: Buffer | null, key: Buffer | null): Buffer | null {
  if (key === null) return keys
  const all = Buffer.concat([key.subarray(0, replayKeyBytes), keys ?? Buffer.alloc(0)])
  return all.subarray(0, replayKeysBytes)
}

function isRemembered(keys: Buffer | null, key: Buffer | null): boolean {
  return keys !== null && key !== null && keys.includes(key.subarray(0, replayKeyBytes))
}

function isKey(one: Buffer | null, other: Buffer | null): boolean {
  return one !== null && other !== null && equalBytes(one, other)
}
