import type { AuditEvent } from '../issuer/audit.ts'

/** What the playground's server and its page tell one another. */

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

/** What runs beside the issuer: verifiers, and replicas of the shop of `examples/shop`. */
export const replicaKinds = ['verifier', 'shop'] as const

export type ReplicaKind = (typeof replicaKinds)[number]

export interface Replica {
  readonly name: string
  readonly kind: ReplicaKind
  /** Where it takes requests on this machine; null while it starts. */
  readonly port: number | null
}

/** Of all kinds together. */
export const replicasMax = 8

/** Whoever owns the processes, as the playground asks it. */
export interface Replicas {
  list(): readonly Replica[]
  /** The kinds that can be started here. */
  kinds(): readonly ReplicaKind[]
  /** Somebody looks at the page: what only the page needs may start now. Again, it does nothing. */
  open(): void
  /**
   * @returns the name of the replica, which is ready then
   * @throws `replicas_exceeded`, `shutting_down`, or `internal_error` where it does not start
   */
  add(kind: ReplicaKind): Promise<string>
  /**
   * Kills one: no goodbye, as when a machine is lost.
   * @throws `replica_not_found`
   */
  stop(name: string): Promise<void>
}
