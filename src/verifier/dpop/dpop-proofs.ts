import { hash, randomBytes } from 'node:crypto'
import { type Clock, nowSeconds } from '../../core/clock.ts'
import { GatepassError } from '../../core/errors.ts'
import { LruCache } from '../../core/lru-cache.ts'
import { digestText } from '../../core/secrets.ts'
import {
  type DpopProof,
  importProofKey,
  invalidProof,
  parseDpopProof,
} from '../../tokens/dpop-proof.ts'
import type { VerificationKey } from '../../tokens/verification-key.ts'
import { verifySignatureSync } from '../signature.ts'
import { normalizeTargetUri, type RequestTarget } from './target-uri.ts'

/** Imported keys of valid proofs, kept because an import can take milliseconds. */
const maxKeys = 1000

export interface DpopProofsOptions {
  readonly clock: Clock
  /** Largest accepted age of a proof. Default: 60. */
  readonly maxAgeSeconds?: number | undefined
  /** How far the client's clock may be ahead. */
  readonly clockToleranceSeconds: number
  /** Limit of remembered proofs. Default: 100,000. */
  readonly maxProofs?: number | undefined
  /** The nonces of which each proof must have one (RFC 9449 §8 and §9). Default: none is required. */
  readonly nonces?: AcceptedNonces | undefined
}

/** Decides which nonces are accepted. */
export interface AcceptedNonces {
  isValid(nonce: string): boolean
}

/** The request that a proof was sent with. */
export interface ProvenRequest extends RequestTarget {
  /** The access token of the request, and the key that it is bound to (`cnf.jkt`). */
  readonly bound?: { readonly token: string; readonly jkt: string }
}

/** Verifies DPoP proofs (RFC 9449 §4.3), and accepts each proof once. */
export class DpopProofs {
  readonly #options: DpopProofsOptions
  readonly #maxAgeSeconds: number
  readonly #replayWindow: ReplayWindow
  readonly #keys = new LruCache<VerificationKey>(maxKeys)
  /** The last proof that each request has used. */
  readonly #usedBy = new WeakMap<object, string>()

  constructor(options: DpopProofsOptions) {
    const { maxAgeSeconds = 60, maxProofs = 100_000 } = options
    this.#options = options
    this.#maxAgeSeconds = maxAgeSeconds
    this.#replayWindow = new ReplayWindow({ maxAgeSeconds, maxProofs })
  }

  /** Number of remembered proofs. */
  get size(): number {
    return this.#replayWindow.size
  }

  /**
   * Verifies a proof and marks it as used.
   *
   * @returns the thumbprint of its key (RFC 7638)
   * @throws `dpop_proof_invalid`, `dpop_proof_replayed`, `use_dpop_nonce`
   */
  check(text: string, request: ProvenRequest): string {
    const proof = this.verify(text, request)
    this.use(proof)
    return proof.jkt
  }

  /**
   * Verifies a proof, but does not check whether it was used already.
   *
   * @throws `dpop_proof_invalid`, `use_dpop_nonce`
   */
  verify(text: string, request: ProvenRequest): DpopProof {
    const proof = parseDpopProof(text)
    const { claims } = proof
    const { clock, clockToleranceSeconds, nonces } = this.#options
    const now = nowSeconds(clock)
    checkBinding(proof, request)
    checkTarget(proof, request)
    if (claims.iat < now - this.#maxAgeSeconds) throw invalidProof('it is too old')
    if (claims.exp + clockToleranceSeconds <= now) throw invalidProof('it has expired')
    if (Math.max(claims.iat, claims.nbf) > now + clockToleranceSeconds) {
      throw invalidProof('its iat or nbf is in the future')
    }
    if (nonces && (claims.nonce === null || !nonces.isValid(claims.nonce))) {
      throw new GatepassError('use_dpop_nonce')
    }
    this.#checkSignature(proof)
    return proof
  }

  /**
   * Marks a verified proof as used. Unverified proofs could fill the replay window.
   *
   * @param request the object that stands for the request; the same request may use its proof again
   * @throws `dpop_proof_replayed`, or `dpop_proof_invalid` if the proof cannot be remembered
   */
  use({ jkt, claims, signingInput }: DpopProof, request?: object): void {
    if (request !== undefined && this.#usedBy.get(request) === signingInput) return
    const { clock } = this.#options
    const result = this.#replayWindow.record(jkt, claims.jti, claims.iat, nowSeconds(clock))
    if (result === 'replayed') throw new GatepassError('dpop_proof_replayed')
    if (result === 'forgotten') throw invalidProof('it is older than the remembered proofs')
    if (result === 'early') throw invalidProof('its iat is in the future, as in too many proofs')
    if (request !== undefined) this.#usedBy.set(request, signingInput)
  }

  #checkSignature(proof: DpopProof): void {
    const name = `${proof.header.alg} ${proof.jkt}`
    const known = this.#keys.get(name)
    const key = importProofKey(proof, known)
    if (!verifySignatureSync(proof, key)) throw invalidProof('its signature is not valid')
    if (key !== known) this.#keys.set(name, key)
  }
}

function checkBinding({ jkt, claims }: DpopProof, { bound }: ProvenRequest): void {
  if (bound === undefined) return
  if (jkt !== bound.jkt) throw invalidProof('its key is not the key of the token')
  if (claims.ath !== digestText(bound.token)) throw invalidProof('its ath does not match the token')
}

function checkTarget({ claims }: DpopProof, { method, uri }: ProvenRequest): void {
  if (claims.htm !== method) throw invalidProof('its htm does not match the method')
  const target = normalizeTargetUri(claims.htu)
  if (target === null || target !== normalizeTargetUri(uri)) {
    throw invalidProof('its htu does not match the URI')
  }
}

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

/**
 * `forgotten`: the proof is as old as proofs that were forgotten, so it may have been used. `early`: its
 * `iat` is in the future, and its partition has no room for more such proofs.
 */
export type ReplayResult = 'new' | 'replayed' | 'forgotten' | 'early'

/**
 * Remembers used proofs while they could be accepted again (RFC 9449 §11.1), in bounded memory. A full
 * partition forgets its oldest proofs, and then rejects proofs of that age: a flood shortens the window of
 * one partition, and never allows a replay. Proofs that are dated in the future fill half of a
 * partition at most.
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
    return partition.record(id, iat, now_s)
  }

  #partitionOf(jkt: string): Partition {
    this.#seed ??= randomBytes(16).toString('base64url')
    const [byte = 0] = hash('sha256', this.#seed + jkt, 'buffer')
    return this.#partitions[byte % partitionCount] as Partition
  }
}

class Partition {
  size = 0
  readonly #capacity: number
  /** Proofs by their `iat`. */
  readonly #byIat = new Map<number, Set<string>>()
  /** Proofs of this second and earlier are rejected. */
  #forgottenUntil_s = Number.NEGATIVE_INFINITY

  constructor(capacity: number) {
    this.#capacity = capacity
  }

  record(id: string, iat: number, now_s: number): ReplayResult {
    if (this.#byIat.get(iat)?.has(id)) return 'replayed'
    // Forgetting proofs of the future would refuse every proof until then.
    if (iat > now_s && this.#countAfter(now_s) >= this.#capacity / 2) return 'early'
    if (this.size >= this.#capacity) this.#forget(Math.min(...this.#byIat.keys()))
    if (iat <= this.#forgottenUntil_s) return 'forgotten'
    const sameSecond = this.#byIat.get(iat)
    if (sameSecond === undefined) this.#byIat.set(iat, new Set([id]))
    else sameSecond.add(id)
    this.size += 1
    return 'new'
  }

  #countAfter(now_s: number): number {
    if (this.size < this.#capacity / 2) return 0
    let count = 0
    for (const [second, proofs] of this.#byIat) if (second > now_s) count += proofs.size
    return count
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
      this.size -= proofs.size
      this.#byIat.delete(second)
    }
  }
}
