import { hash, randomBytes } from 'node:crypto'

/** Each proof's key falls into one of these, by a seed that nobody outside knows. */
const partitionCount = 64
/** Of a hash: enough that no two proofs meet. */
const idBytes = 16

export interface ReplayWindowOptions {
  /** How many proofs are remembered, in all. */
  readonly proofsMax: number
  /** For how long after its `iat` a proof is accepted. */
  readonly maxAge_s: number
}

/** A clock that was further ahead than this had been wrong; what it has forgotten is no measure. */
const clockErrorMax_s = 3600

/** `full`: it may or may not have been seen, for it is as old as proofs that had to be forgotten. */
export type Sighting = 'new' | 'seen' | 'full'

/**
 * Remembers the proofs that were accepted for as long as they could be accepted again (RFC 9449
 * §11.1), in bounded memory, for this replica alone.
 *
 * When there is no room, the proofs with the oldest `iat` are forgotten, and from then on no proof
 * that old is accepted: a flood makes the window shorter, never a replay possible. It does so in the
 * partition of its own key only, so those who sign in with other keys hardly feel it.
 */
export class ReplayWindow {
  readonly #options: ReplayWindowOptions
  /** Drawn when it is needed: workerd draws no random numbers outside a request. */
  #seed: string | null = null
  readonly #partitions: readonly Partition[]

  constructor(options: ReplayWindowOptions) {
    this.#options = options
    const capacity = Math.max(1, Math.floor(options.proofsMax / partitionCount))
    this.#partitions = Array.from({ length: partitionCount }, () => new Partition(capacity))
  }

  /** How many are remembered. Those that have expired count until their partition is used again. */
  get size(): number {
    return this.#partitions.reduce((sum, { size }) => sum + size, 0)
  }

  /**
   * Notes a proof whose signature was found good.
   *
   * @param jkt the thumbprint of its key
   * @param iat when it was made, in seconds
   */
  note(jkt: string, jti: string, iat: number, now_s: number): Sighting {
    const partition = this.#partitionOf(jkt)
    partition.forgetUntil(now_s - this.#options.maxAge_s - 1, now_s)
    const id = hash('sha256', `${jkt} ${jti}`, 'buffer').toString('latin1', 0, idBytes)
    return partition.note(id, iat)
  }

  #partitionOf(jkt: string): Partition {
    this.#seed ??= randomBytes(16).toString('base64url')
    const [byte = 0] = hash('sha256', this.#seed + jkt, 'buffer')
    return this.#partitions[byte % partitionCount] as Partition
  }
}

class Partition {
  readonly #capacity: number
  /** The proofs of each second. */
  readonly #byIat = new Map<number, Set<string>>()
  #size = 0
  /** No proof of this second or before is accepted any more. */
  #forgottenUntil_s = Number.NEGATIVE_INFINITY

  constructor(capacity: number) {
    this.#capacity = capacity
  }

  get size(): number {
    return this.#size
  }

  note(id: string, iat: number): Sighting {
    if (this.#byIat.get(iat)?.has(id)) return 'seen'
    if (this.#size >= this.#capacity) this.#forget(Math.min(...this.#byIat.keys()))
    if (iat <= this.#forgottenUntil_s) return 'full'
    const sameSecond = this.#byIat.get(iat)
    if (sameSecond === undefined) this.#byIat.set(iat, new Set([id]))
    else sameSecond.add(id)
    this.#size += 1
    return 'new'
  }

  /** A clock that is set back a little brings no forgotten proof to life again. */
  forgetUntil(iat: number, now_s: number): void {
    const wasFarAhead = this.#forgottenUntil_s > now_s + clockErrorMax_s
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
