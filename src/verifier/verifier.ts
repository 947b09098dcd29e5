import { now_s } from '../core/clock.ts'
import { GatepassError, isGatepassError } from '../core/errors.ts'
import type { AccessTokenClaims } from '../tokens/claims.ts'
import { parseCompact } from '../tokens/compact.ts'
import type { VerificationKey } from '../tokens/verification-key.ts'
import { checkClaims } from './claims.ts'
import type { KeyLookup, KeySourceStatus } from './key-source.ts'
import { readOptions, type VerifierOptions } from './options.ts'
import { verifySignature, verifySignatureSync } from './signature.ts'

export interface VerifierStatus {
  readonly keys: KeySourceStatus
}

/** Checks access tokens from memory. Nothing but a GatepassError is ever thrown. */
export interface Verifier {
  /** Resolves when the keys are here; throws `keys_unavailable` if they cannot be had. */
  ready(): Promise<void>
  /**
   * The claims of a token, if it is accepted. Waits for one fetch of the keys if the token names a
   * key that is not known, unless one was made a moment ago.
   *
   * @throws `token_malformed`, `token_algorithm`, `token_type`, `token_key_unknown`,
   *   `token_signature`, `token_claims`, `token_expired`, `token_not_yet_valid`, `token_revoked`,
   *   `keys_unavailable`
   */
  verify(token: string): Promise<AccessTokenClaims>
  /** The same answer at once, from the keys that are in memory now. */
  verifySync(token: string): AccessTokenClaims
  status(): VerifierStatus
  /** Stops fetching keys. Tokens can still be checked with those in memory. */
  close(): Promise<void>
}

/**
 * Makes a verifier of the access tokens of one issuer (RFC 9068).
 *
 * ```ts
 * import { createVerifier } from 'gatepass'
 *
 * const verifier = createVerifier({
 *   issuer: 'https://auth.example.com',
 *   audience: 'https://api.example.com',
 * })
 * await verifier.ready()
 *
 * export async function subjectOf(token: string): Promise<string> {
 *   const claims = await verifier.verify(token)
 *   return claims.sub
 * }
 * ```
 *
 * @throws `config_invalid`, with every problem in `problems`
 */
export function createVerifier(options: VerifierOptions): Verifier {
  const { keys, maxTokenBytes, rules, revocations, clock } = readOptions(options)

  /** What remains to be checked when the signature is found good or bad. */
  function accept(signatureIsGood: boolean, payloadBytes: Buffer): AccessTokenClaims {
    if (!signatureIsGood) throw new GatepassError('token_signature')
    const claims = checkClaims(payloadBytes, rules, now_s(clock))
    if (revocations?.isRevoked(claims)) throw new GatepassError('token_revoked')
    return claims
  }

  return {
    ready: () => keys.ready(),
    async verify(token) {
      try {
        const parsed = parseCompact(token, maxTokenBytes)
        const { kid, alg } = parsed.header
        let found = keys.find(kid, alg)
        if (mayBePublished(found)) {
          await keys.refresh()
          found = keys.find(kid, alg)
        }
        return accept(await verifySignature(parsed, keyOf(found)), parsed.payloadBytes)
      } catch (error) {
        throw asOurs(error)
      }
    },
    verifySync(token) {
      try {
        const parsed = parseCompact(token, maxTokenBytes)
        const found = keys.find(parsed.header.kid, parsed.header.alg)
        if (mayBePublished(found)) void keys.refresh() // for the next token
        return accept(verifySignatureSync(parsed, keyOf(found)), parsed.payloadBytes)
      } catch (error) {
        throw asOurs(error)
      }
    },
    status: () => ({ keys: keys.status() }),
    close: () => keys.close(),
  }
}

/** Whether the issuer may have a key for us that we do not have yet. */
function mayBePublished(found: KeyLookup): boolean {
  return found === 'token_key_unknown' || found === 'keys_unavailable'
}

function keyOf(found: KeyLookup): VerificationKey {
  if (typeof found === 'string') throw new GatepassError(found)
  return found
}

/** A failure of a part that was passed in, such as the revocations, refuses the token too. */
function asOurs(error: unknown): GatepassError {
  return isGatepassError(error) ? error : new GatepassError('internal_error', { cause: error })
}
