import { hash, randomBytes } from 'node:crypto'

/** Each key falls into one partition, by a secret seed. */
const partitionCount = 64
/** Bytes of a digest that identify a proof. */
const idBytes = 16

export interface ReplayWindowOptions {
  /** Limit of remembered proofs, over all partitions. */
  readonly maxProofs: number
  /** Time for which a proof is accepted after its `iat`. */
  readonly maxAgeSeconds: number
}

/**
 * After a larger step back, the clock was wrong earlier, so the time of forgotten proofs does not
 * count.
 */
const maxClockError_s = 3600

/** `forgotten`: the proof is as old as proofs that were forgotten, so it may have been used. */
export type ReplayResult = 'new' | 'replayed' | 'forgotten'

/**
 * Remembers used proofs while they could be accepted again (RFC 9449 §11.1), in bounded memory. A full
 * partition forgets its oldest proofs, and then rejects proofs of that age: a flood shortens the window of
 * one partition, and never allows a replay.
 */
export class ReplayWindow {
  readonly #options: ReplayWindowOptions
  /** Drawn at first use: workerd has no random numbers outside a request. */
  #seed: string | null = null
  readonly #partitions: readonly Partition[]

  constructor(options: ReplayWindowOptions) {
    this.#options = options
    const capacity = Math.max(1, Math.floor(options.maxProofs / partitionCount))
    this.#partitions = Array.from({ length: partitionCount }, () => new Partition(capacity))
  }

  /** Number of remembered proofs. Includes expired ones until their partition is used again. */
  get size(): number {
    return this.#partitions.reduce((sum, { size }) => sum + size, 0)
  }

  /**
   * Records a proof with a valid signature.
   *
   * @param jkt thumbprint of its key
   * @param iat time of signing, in seconds since 1970
   */
  record(jkt: string, jti: string, iat: number, now_s: number): ReplayResult {
    const partition = this.#partitionOf(jkt)
    partition.forgetUntil(now_s - this.#options.maxAgeSeconds - 1, now_s)
    const id = hash('sha256', `${jkt} ${jti}`, 'buffer').toString('latin1', 0, idBytes)
    return partition.record(id, iat)
  }

  #partitionOf(jkt: string): Partition {
    this.#seed ??= randomBytes(16).toString('base64url')
    const [byte = 0] = hash('sha256', this.#seed + jkt, 'buffer')
    return this.#partitions[byte % partitionCount] as Partition
  }
}

class Partition {
  readonly #capacity: number
  /** Proofs by their `iat`. */
  readonly #byIat = new Map<number, Set<string>>()
  #size = 0
  /** Proofs of this second and earlier are rejected. */
  #forgottenUntil_s = Number.NEGATIVE_INFINITY

  constructor(capacity: number) {
    this.#capacity = capacity
  }

  get size(): number {
    return this.#size
  }

  record(id: string, iat: number): ReplayResult {
    if (this.#byIat.get(iat)?.has(id)) return 'replayed'
    if (this.#size >= this.#capacity) this.#forget(Math.min(...this.#byIat.keys()))
    if (iat <= this.#forgottenUntil_s) return 'forgotten'
    const sameSecond = this.#byIat.get(iat)
    if (sameSecond === undefined) this.#byIat.set(iat, new Set([id]))
    else sameSecond.add(id)
    this.#size += 1
    return 'new'
  }

  /** A clock that is set back a little does not make forgotten proofs acceptable. */
  forgetUntil(iat: number, now_s: number): void {
    const wasFarAhead = this.#forgottenUntil_s > now_s + maxClockError_s
    if (iat > this.#forgottenUntil_s || wasFarAhead) this.#forget(iat)
  }

  #forget(iat: number): void {
    this.#forgottenUntil_s = iat
    for (const [second, proofs] of this.#byIat) {
      if (second > iat) continue
      this.#size -= proofs.size
      this.#byIat.delete(second)
    }
  }
}
