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
