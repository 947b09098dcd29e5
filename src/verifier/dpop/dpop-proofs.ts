import { type Clock, nowSeconds } from '../../core/clock.ts'
import { GatepassError } from '../../core/errors.ts'
import { LruCache } from '../../core/lru-cache.ts'
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
import { normalizeTargetUri } from './target-uri.ts'

/** Imported keys of valid proofs, kept because an import can take milliseconds. */
const maxKeys = 1000

export const dpopDefaults = { maxAgeSeconds: 60, maxProofs: 100_000 } as const

export interface DpopProofsOptions {
  readonly clock: Clock
  /** Largest accepted age of a proof. */
  readonly maxAgeSeconds: number
  /** How far the client's clock may be ahead. */
  readonly clockToleranceSeconds: number
  /** Limit of remembered proofs. */
  readonly maxProofs: number
  /** The nonces of which each proof must have one (RFC 9449 §8 and §9). Default: none is required. */
  readonly nonces?: AcceptedNonces | undefined
}

/** Decides which nonces are accepted. */
export interface AcceptedNonces {
  isValid(nonce: string): boolean
}

/** The request that a proof was sent with. */
export interface ProvenRequest {
  readonly method: string
  /** Absolute URI, as the client called it. Query and fragment are ignored. */
  readonly uri: string
  /** The access token of the request, and the key that it is bound to (`cnf.jkt`). */
  readonly bound?: { readonly token: string; readonly jkt: string }
}

/** Verifies DPoP proofs (RFC 9449 §4.3), and accepts each proof once. */
export class DpopProofs {
  readonly #options: DpopProofsOptions
  readonly #replayWindow: ReplayWindow
  readonly #keys = new LruCache<VerificationKey>(maxKeys)
  /** The last proof that each request has used. */
  readonly #usedBy = new WeakMap<object, string>()

  constructor(options: DpopProofsOptions) {
    this.#options = options
    this.#replayWindow = new ReplayWindow(options)
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
    const { clock, maxAgeSeconds, clockToleranceSeconds, nonces } = this.#options
    const now = nowSeconds(clock)
    checkBinding(proof, request)
    checkTarget(proof, request)
    if (claims.iat < now - maxAgeSeconds) throw invalidProof('it is too old')
    if (claims.iat > now + clockToleranceSeconds) throw invalidProof('its iat is in the future')
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
   * @throws `dpop_proof_replayed`, or `dpop_proof_invalid` if the proof may have been forgotten
   */
  use({ jkt, claims, jws }: DpopProof, request?: object): void {
    if (request !== undefined && this.#usedBy.get(request) === jws.signingInput) return
    const { clock } = this.#options
    const result = this.#replayWindow.record(jkt, claims.jti, claims.iat, nowSeconds(clock))
    if (result === 'replayed') throw new GatepassError('dpop_proof_replayed')
    if (result === 'forgotten') throw invalidProof('it is older than the remembered proofs')
    if (request !== undefined) this.#usedBy.set(request, jws.signingInput)
  }

  #checkSignature(proof: DpopProof): void {
    const name = `${proof.header.alg} ${proof.jkt}`
    const known = this.#keys.get(name)
    const key = importProofKey(proof, known)
    if (!verifySignatureSync(proof.jws, key)) throw invalidProof('its signature is not valid')
    if (key !== known) this.#keys.set(name, key)
  }
}

function checkBinding({ jkt, claims }: DpopProof, { bound }: ProvenRequest): void {
  if (bound === undefined) return
  if (jkt !== bound.jkt) throw invalidProof('its key is not the key of the token')
  if (claims.ath !== accessTokenHash(bound.token))
    throw invalidProof('its ath does not match the token')
}

function checkTarget({ claims }: DpopProof, { method, uri }: ProvenRequest): void {
  if (claims.htm !== method) throw invalidProof('its htm does not match the method')
  const target = normalizeTargetUri(claims.htu)
  if (target === null || target !== normalizeTargetUri(uri)) {
    throw invalidProof('its htu does not match the URI')
  }
}
