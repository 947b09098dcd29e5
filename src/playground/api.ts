import type { AuditEvent } from '../issuer/audit.ts'

/** The types of the playground's HTTP interface, and the interface to its replicas. */

/** The user name of `gatepass dev`, which the sign-in form suggests. */
export const demoUser = 'demo'

/** `GET /playground/state` */
export interface PlaygroundState {
  readonly username: string
  readonly grace_s: number
  readonly access_ttl_s: number
  readonly replicas: readonly ReplicaState[]
  /** The limit for replicas of all kinds together. */
  readonly max_replicas: number
  /** The kinds of replicas that can be started. */
  readonly kinds: readonly ReplicaKind[]
  readonly keys: readonly KeyState[]
  /** The origin of the third-party application; null if there is none. */
  readonly third_party: string | null
  /** Events after the id in the request, oldest first. */
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
  /** Seconds until the key signs; 0 for a key that signs. */
  readonly signs_in_s: number
}

/** An event of the audit log. */
export interface PlaygroundEvent {
  /** Increases with each event. */
  readonly id: number
  readonly at: string
  readonly event: AuditEvent
  readonly session_id?: string
  readonly kid?: string
  readonly reason?: string
}

/** `GET /playground/session`: the refresh token of the caller's session. */
export interface RefreshTokenState {
  readonly session_id: string
  /** How often the refresh token has been replaced. */
  readonly generation: number
  /** Time until the grace period ends, in which a refresh returns the same token again. */
  readonly grace_left_ms: number
}

/** `GET /settings.json` of the third-party application. */
export interface ThirdPartySettings {
  readonly issuer: string
  readonly api: string
  readonly client_id: string
  readonly scope: string
}

/** Kinds of replicas: verifiers, and replicas of a shop that verifies tokens with the library. */
export const replicaKinds = ['verifier', 'shop'] as const

export type ReplicaKind = (typeof replicaKinds)[number]

export interface Replica {
  readonly name: string
  readonly kind: ReplicaKind
  /** The port on this machine; null while the replica starts. */
  readonly port: number | null
}

/** The limit for replicas of all kinds together. */
export const maxReplicas = 8

/** The replicas that the playground shows, starts and stops. */
export interface Replicas {
  list(): readonly Replica[]
  /** The kinds of replicas that can be started. */
  kinds(): readonly ReplicaKind[]
  /** The page was opened: replicas that only the page needs may start. Further calls do nothing. */
  pageOpened(): void
  /**
   * Starts a replica and waits until it is ready.
   * @returns the name of the replica
   * @throws `replicas_exceeded`, `shutting_down`, or `internal_error` when the replica does not start
   */
  add(kind: ReplicaKind): Promise<string>
  /**
   * Kills a replica with SIGKILL, like a machine that loses power.
   * @throws `replica_not_found`
   */
  stop(name: string): Promise<void>
}
