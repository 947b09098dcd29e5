import { GatepassError } from '../core/errors.ts'
import type { AccessTokenClaims } from '../tokens/claims.ts'
import type { CompactToken } from '../tokens/compact.ts'
import type { VerificationKey } from '../tokens/verification-key.ts'
import { type ClaimRules, checkAudience, readClaims } from './claims.ts'
import type { KeyLookup, KeySource } from './keys/key-source.ts'
import type { Revocations } from './revocation-list.ts'

/** An issuer whose tokens are accepted. */
export interface TrustedIssuer {
  readonly rules: ClaimRules
  readonly keys: KeySource
  readonly revocations: Revocations | null
}

/** A token that was found to be from an issuer and for us, with the key that says so. */
export interface VerifiedToken {
  readonly claims: AccessTokenClaims
  readonly key: VerificationKey
  readonly issuer: TrustedIssuer
}

/** What `judge` needs done: a signature checked, or newer keys asked for. */
export type Step =
  | { readonly verify: VerificationKey }
  | { readonly refresh: readonly TrustedIssuer[] }

/** The answer to a step: whether the signature is good, or whether there may be newer keys now. */
export type Judgement = Generator<Step, VerifiedToken, boolean>

/**
 * Finds out whose token it is. Each issuer is asked for the key by `kid` and `alg`; no claim is read
 * until a signature is found good, and then `iss` must be the issuer that the key is of. So an issuer
 * with the `kid`, or even the key, of another neither speaks for it nor keeps its tokens out.
 *
 * When no key fits, those issuers that may have published a newer one are asked for it once.
 *
 * @throws `token_signature`, `token_claims`, `token_key_unknown`, `token_algorithm` or
 *   `keys_unavailable`
 */
export function* judge(token: CompactToken, issuers: readonly TrustedIssuer[]): Judgement {
  const { kid, alg } = token.header
  const refusals: Refusal[] = []
  const lacking: TrustedIssuer[] = []
  for (const issuer of issuers) {
    const found = issuer.keys.find(kid, alg)
    const isSigned = typeof found !== 'string' && (yield { verify: found })
    const judged = judgedBy(issuer, found, isSigned, token)
    if (typeof judged !== 'string') return judged
    refusals.push(judged)
    if (mayBePublished(judged)) lacking.push(issuer)
  }
  if (lacking.length > 0 && (yield { refresh: lacking })) {
    for (const issuer of lacking) {
      const found = issuer.keys.find(kid, alg)
      const isSigned = typeof found !== 'string' && (yield { verify: found })
      const judged = judgedBy(issuer, found, isSigned, token)
      if (typeof judged !== 'string') return judged
      refusals[issuers.indexOf(issuer)] = judged
    }
  }
  throw refused(mostTelling.find((code) => refusals.includes(code)) ?? 'token_key_unknown')
}

/** Why a token is not one of an issuer; the most telling first, for when the issuers differ. */
const mostTelling = [
  'keys_unavailable',
  'token_claims',
  'token_signature',
  'token_algorithm',
  'token_key_unknown',
] as const

type Refusal = (typeof mostTelling)[number]

/** @param isSigned whether the signature was found good by the key */
function judgedBy(
  issuer: TrustedIssuer,
  found: KeyLookup,
  isSigned: boolean,
  token: CompactToken,
): VerifiedToken | Refusal {
  if (typeof found === 'string') return found
  if (!isSigned) return 'token_signature'
  const claims = readClaims(token.payloadBytes)
  if (claims.iss !== issuer.rules.issuer) return 'token_claims'
  checkAudience(claims, issuer.rules)
  return { claims, key: found, issuer }
}

/** Whether the issuer may have a key for us that we do not have yet. */
function mayBePublished(refusal: Refusal): boolean {
  return refusal === 'token_key_unknown' || refusal === 'keys_unavailable'
}

function refused(code: Refusal): GatepassError {
  if (code !== 'token_claims') return new GatepassError(code)
  return new GatepassError(code, { cause: new Error('iss is another issuer') })
}
