import { equalBytes } from '../core/secrets.ts'
import type { RotationOutcome, RotationRequest, Session } from './ports.ts'

export interface RotationDecision {
  readonly outcome: RotationOutcome
  /** The session after the rotation; the same object if nothing changes. */
  readonly session: Session
}

/** The digest of a request without an Idempotency-Key. */
export const noKey = Buffer.alloc(32)

/**
 * A session stores the first four bytes of the digests of the last eight keys that replayed a generation.
 * Two keys with the same start cause one more replay, and nothing else.
 */
export const replayKeyBytes = 4
export const replayKeysBytes = 8 * replayKeyBytes

/**
 * Decides a rotation by invariant 4, the table in docs/architecture.md. The caller has checked the MAC.
 * Every store runs this function as one atomic step.
 */
export function decideRotation(session: Session, request: RotationRequest): RotationDecision {
  const { nowMs, policy } = request
  if (session.revokedAtMs !== null) return { outcome: 'revoked', session }
  if (nowMs >= session.expiresAtMs) return { outcome: 'expired', session }
  // Without a proof the request says nothing about the owner of the session, so it changes nothing.
  if (session.jkt !== null && session.jkt !== request.jkt) return { outcome: 'unproven', session }

  const ahead = request.generation - session.generation
  if (ahead > 0) return decideLost(session, request)
  if (ahead === 0) return decideCurrent(session, request)
  const decision = ahead === -1 ? decideReplaced(session, request) : null
  return decision ?? { outcome: 'reused', session: revoke(session, nowMs, policy.revokedKeptMs) }
}

/** Whether a session is neither revoked nor expired. */
export function isLive(session: Session, nowMs: number): boolean {
  return session.revokedAtMs === null && nowMs < session.expiresAtMs
}

/** Revokes a session. Its row stays for `keptMs`, so that it is `revoked` and not `unknown`. */
export function revoke(session: Session, nowMs: number, keptMs: number): Session {
  return { ...session, revokedAtMs: nowMs, expiresAtMs: nowMs + keptMs }
}

/** Returns the fields of a new generation. */
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

/** A fail-over of the store lost this generation. The MAC proves that we issued it. */
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
  // A copy of the last retry may still arrive, and this generation must then be the current one.
  if (isRecent(session.mintedAtMs, request) || isRecent(session.lastRetryAtMs, request)) {
    if (session.presented && (isReplay || idempotencyKey === null)) return replay(session)
    const replayKeys = isReplay
      ? session.replayKeys
      : rememberKey(session.replayKeys, idempotencyKey)
    return replay({ ...session, presented: true, replayKeys })
  }
  // A copy of a replayed request mints nothing, because nobody may read its response. Without a
  // limit, a thief could poll with such a copy and never be detected.
  if (!isReplay) return rotate(session, request)
  if (session.lateReplayAtMs === null) return replay({ ...session, lateReplayAtMs: nowMs })
  return isRecent(session.lateReplayAtMs, request) ? replay(session) : rotate(session, request)
}

/** Decides a request with the previous generation. Returns null for reuse. */
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
  // The request comes from another tab of the browser that has retried. Retries do not extend this
  // window: a thief could otherwise retry to keep the owner inside it, and never be detected.
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

/** An instant in the future, by a clock that is behind, is within the grace period. */
function isWithinGrace(sinceMs: number | null, { nowMs, policy }: RotationRequest): boolean {
  return sinceMs !== null && Math.max(0, nowMs - sinceMs) < policy.graceMs
}

/**
 * An instant further in the future than the grace period is from a clock that was ahead. It must not keep
 * a generation current until then, because no reuse would be detected meanwhile.
 */
function isRecent(sinceMs: number | null, { nowMs, policy }: RotationRequest): boolean {
  return sinceMs !== null && Math.abs(nowMs - sinceMs) < policy.graceMs
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
