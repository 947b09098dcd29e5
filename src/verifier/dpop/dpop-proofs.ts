import { type Clock, nowSeconds } from '../../core/clock.ts'
import { GatepassError } from '../../core/errors.ts'
import {
  accessTokenHash,
  type DpopProof,
  importProofKey,
  invalidProof,
  parseDpopProof,
} from '../../tokens/dpop-proof.ts'
import type { VerificationKey } from '../../tokens/verification-key.ts'
import { verifySignatureSync } from '../signature.ts'
import { ReplayWindow } from './replay-window.ts'
import { normalTargetUri } from './target-uri.ts'

/** Keys that have made a good proof, kept for their next one: to import one can take milliseconds. */
const keysMax = 1000

export const dpopDefaults = { maxAge_s: 60, proofsMax: 100_000 }

export interface DpopProofsOptions {
  readonly clock: Clock
  /** How old a proof may be. */
  readonly maxAge_s: number
  /** How far the client's clock may be ahead of ours. */
  readonly clockTolerance_s: number
  /** How many proofs are remembered, so that none is accepted twice. */
  readonly proofsMax: number
}

/** The request that a proof came with. */
export interface ProvenRequest {
  readonly method: string
  /** The absolute URI that the client has called; query and fragment do not matter. */
  readonly uri: string
  /** The access token that the proof must go with, and the key that it is bound to (`cnf.jkt`). */
  readonly bound?: { readonly token: string; readonly jkt: string }
}

/** Checks DPoP proofs (RFC 9449 §4.3), and lets each pass once. */
export class DpopProofs {
  readonly #options: DpopProofsOptions
  readonly #seen: ReplayWindow
  readonly #keys = new Map<string, VerificationKey>()
  /** The last proof that was used up for a request. */
  readonly #usedFor = new WeakMap<object, string>()

  constructor(options: DpopProofsOptions) {
    this.#options = options
    this.#seen = new ReplayWindow(options)
  }

  /** How many proofs are remembered. */
  get size(): number {
    return this.#seen.size
  }

  /**
   * Verifies a proof and uses it up.
   *
   * @returns the thumbprint of the key (RFC 7638) that has made the proof for this request
   * @throws `dpop_proof_invalid`, `dpop_proof_replayed`
   */
  check(text: string, request: ProvenRequest): string {
    const proof = this.verify(text, request)
    this.use(proof)
    return proof.jkt
  }

  /**
   * Verifies a proof, all but that it is used once.
   *
   * @throws `dpop_proof_invalid`
   */
  verify(text: string, request: ProvenRequest): DpopProof {
    const proof = parseDpopProof(text)
    const { claims } = proof
    const now = nowSeconds(this.#options.clock)
    checkBinding(proof, request)
    checkTarget(proof, request)
    if (claims.iat < now - this.#options.maxAge_s) throw invalidProof('it is too old')
    if (claims.iat > now + this.#options.clockTolerance_s) throw invalidProof('it is of the future')
    this.#checkSignature(proof)
    return proof
  }

  /**
   * Uses a proof up. It must be verified, so that only those who have the key can fill the window.
   *
   * @param request the object that stands for the request, for which a proof may come again
   * @throws `dpop_proof_replayed`, or `dpop_proof_invalid` if it may have been forgotten
   */
  use({ jkt, claims, jws }: DpopProof, request?: object): void {
    if (request !== undefined && this.#usedFor.get(request) === jws.signingInput) return
    const sighting = this.#seen.note(jkt, claims.jti, claims.iat, nowSeconds(this.#options.clock))
    if (sighting === 'seen') throw new GatepassError('dpop_proof_replayed')
    if (sighting === 'full') throw invalidProof('it is older than those that are remembered')
    if (request !== undefined) this.#usedFor.set(request, jws.signingInput)
  }

  #checkSignature(proof: DpopProof): void {
    const name = `${proof.header.alg} ${proof.jkt}`
    const known = this.#keys.get(name)
    const key = importProofKey(proof, known)
    if (!verifySignatureSync(proof.jws, key)) throw invalidProof('its signature is not good')
    if (key === known) return
    const [oldest] = this.#keys.keys()
    if (this.#keys.size >= keysMax && oldest !== undefined) this.#keys.delete(oldest)
    this.#keys.set(name, key)
  }
}

function checkBinding({ jkt, claims }: DpopProof, { bound }: ProvenRequest): void {
  if (bound === undefined) return
  if (jkt !== bound.jkt) throw invalidProof('it is by another key than that of the token')
  if (claims.ath !== accessTokenHash(bound.token)) throw invalidProof('its ath is of another token')
}

function checkTarget({ claims }: DpopProof, { method, uri }: ProvenRequest): void {
  if (claims.htm !== method) throw invalidProof('its htm is another method')
  const target = normalTargetUri(claims.htu)
  if (target === null || target !== normalTargetUri(uri)) throw invalidProof('its htu is another')
}
