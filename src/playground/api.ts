/** What the playground's server and its page tell one another. */
import type { AuditEvent } from '../issuer/audit.ts'
import type { ReplicaKind } from './replicas.ts'

export type { ReplicaKind } from './replicas.ts'

/** `GET /playground/state` */
export interface PlaygroundState {
  readonly username: string
  readonly grace_s: number
  readonly access_ttl_s: number
  readonly replicas: readonly ReplicaState[]
  readonly replicas_max: number
  /** The kinds that can be started. */
  readonly kinds: readonly ReplicaKind[]
  readonly keys: readonly KeyState[]
  /** Those after the one that was asked for, oldest first. */
  readonly events: readonly PlaygroundEvent[]
}

export interface ReplicaState {
  readonly name: string
  readonly kind: ReplicaKind
  readonly ready: boolean
}

export interface KeyState {
  readonly kid: string
  readonly state: 'pending' | 'active' | 'retiring'
  /** Until it signs, where it does not yet. */
  readonly signs_in_s: number
}

/** A line of the audit log. */
export interface PlaygroundEvent {
  /** Counts up. */
  readonly id: number
  readonly at: string
  readonly event: AuditEvent
  readonly session_id?: string
  readonly kid?: string
  readonly reason?: string
}

/** `GET /playground/session`: the refresh line of the session that asks. */
export interface SessionLine {
  readonly session_id: string
  /** How often its refresh token was replaced. */
  readonly generation: number
  /** How long the current one is not replaced yet, but given again. */
  readonly grace_left_ms: number
}
