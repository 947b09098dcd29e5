import type { RotationPolicy, RotationRequest, Session } from '../../src/stores/ports.ts'
import { newGeneration } from '../../src/stores/rotation.ts'

/** In the far future, so that nothing expires by the clock of a store. */
export const t0 = Date.UTC(2100, 0, 1)

export const policy: RotationPolicy = { graceMs: 10_000, idleMs: 3_600_000, revokedKeptMs: 300_000 }

/** A session that began at `t0`. */
export function session(changes: Partial<Session> = {}): Session {
  return {
    sid: 'AAAAAAAAAAAAAAAAAAAAAA',
    sub: 'user-1',
    clientId: 'web',
    scope: 'data:read data:write',
    amr: ['pwd'],
    userAgent: 'test/1.0',
    createdAtMs: t0,
    endsAtMs: t0 + 86_400_000,
    expiresAtMs: t0 + policy.idleMs,
    ...newGeneration(0, t0),
    revokedAtMs: null,
    jkt: null,
    ...changes,
  }
}

export function rotation(changes: Partial<RotationRequest> = {}): RotationRequest {
  return {
    sid: 'AAAAAAAAAAAAAAAAAAAAAA',
    generation: 0,
    idempotencyKey: null,
    jkt: null,
    nowMs: t0,
    policy,
    ...changes,
  }
}
