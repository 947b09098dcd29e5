import { GatepassError } from '../core/errors.ts'
import type { AccessTokenClaims } from '../tokens/claims.ts'
import { type CompactToken, payloadBytes } from '../tokens/compact.ts'
import type { VerificationKey } from '../tokens/verification-key.ts'
import { anotherIssuer, type ClaimRules, checkAudience } from './claims.ts'
import { readHeldClaims } from './held-claims.ts'
import type { KeyLookup, KeySource } from './keys/key-source.ts'
import type { Revocations } from './revocation-list.ts'
import { checkSignature, verifySignatureSync } from './signature.ts'

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

/** Why none of some issuers has signed a token: a reason for each, in their order. */
export type Refusals = readonly Refusal[]

/**
 * Finds out whose token it is. Each issuer is asked for the key by `kid` and `alg`; no claim is read
 * until a signature is found good, and then `iss` must be the issuer that the key is of. So an issuer
 * with the `kid`, or even the key, of another neither speaks for it nor keeps its tokens out.
 *
 * @throws `token_claims` for the token of an issuer that is not acceptable, or for others
 */
export function judgeAtOnce(
  token: CompactToken,
  issuers: readonly TrustedIssuer[],
): VerifiedToken | Refusals {
  const refusals: Refusal[] = []
  for (const issuer of issuers) {
    const found = keyOf(token, issuer)
    const isSigned = typeof found !== 'string' && verifySignatureSync(token, found)
    const judged = judgedBy(issuer, found, isSigned, token)
    if (typeof judged !== 'string') return judged
    refusals.push({ code: judged, issuer })
  }
  return refusals
}

/** The same, with the signature checked where it keeps others least. */
export async function judge(
  token: CompactToken,
  issuers: readonly TrustedIssuer[],
): Promise<VerifiedToken | Refusals> {
  const refusals: Refusal[] = []
  for (const issuer of issuers) {
    const found = keyOf(token, issuer)
    const isSigned = typeof found !== 'string' && (await checkSignature(token, found))
    const judged = judgedBy(issuer, found, isSigned, token)
    if (typeof judged !== 'string') return judged
    refusals.push({ code: judged, issuer })
  }
  return refusals
}

/**
 * The same once more, where an issuer may have published a newer key, when each such issuer has been asked
 * for it.
 *
 * @throws `token_signature`, `token_claims`, `token_key_unknown`, `token_algorithm` or
 *   `keys_unavailable`, if it is nobody's token then either
 */
export async function judgeAnew(token: CompactToken, refusals: Refusals): Promise<VerifiedToken> {
  const lacking = lackingOf(refusals)
  await askForNewer(lacking, token)
  const judged = await judge(token, lacking)
  if (isVerified(judged)) return judged
  const others = refusals.filter((refusal) => !mayBePublished(refusal))
  throw refused([...others, ...judged])
}

/** Has newer keys asked for, but for the next token, and gives the error for this one. */
export function refusedAtOnce(token: CompactToken, refusals: Refusals): GatepassError {
  void askForNewer(lackingOf(refusals), token)
  return refused(refusals)
}

/** Whether the issuer still has the key that a token was verified with: the same object. */
export function isKeyInUse({ key, issuer }: Pick<VerifiedToken, 'key' | 'issuer'>): boolean {
  return issuer.keys.find(key.kid, key.alg) === key
}

export function isVerified(judged: VerifiedToken | Refusals): judged is VerifiedToken {
  return !Array.isArray(judged)
}

/** Those that may have a key for the token which we do not have yet. */
function lackingOf(refusals: Refusals): TrustedIssuer[] {
  return refusals.filter(mayBePublished).map(({ issuer }) => issuer)
}

async function askForNewer(issuers: readonly TrustedIssuer[], { header }: CompactToken) {
  await Promise.all(issuers.map(({ keys }) => keys.refresh(header.kid)))
}

function keyOf({ header }: CompactToken, { keys }: TrustedIssuer): KeyLookup {
  return keys.find(header.kid, header.alg)
}

/** Why a token is not one of an issuer; the most telling first, for when the issuers differ. */
const mostTelling = [
  'keys_unavailable',
  'token_claims',
  'token_signature',
  'token_algorithm',
  'token_key_unknown',
] as const

type RefusalCode = (typeof mostTelling)[number]

interface Refusal {
  readonly code: RefusalCode
  readonly issuer: TrustedIssuer
}

/** @param isSigned whether the signature was found good by the key */
function judgedBy(
  issuer: TrustedIssuer,
  found: KeyLookup,
  isSigned: boolean,
  token: CompactToken,
): VerifiedToken | RefusalCode {
  if (typeof found === 'string') return found
  if (!isSigned) return 'token_signature'
  const claims = readHeldClaims(payloadBytes(token))
  if (claims.iss !== issuer.rules.issuer) return 'token_claims'
  checkAudience(claims, issuer.rules.audiences)
  return { claims, key: found, issuer }
}

/** Whether the issuer may have a key for us that we do not have yet. */
function mayBePublished({ code }: Refusal): boolean {
  return code === 'token_key_unknown' || code === 'keys_unavailable'
}

function refused(refusals: Refusals): GatepassError {
  const most = mostTelling.find((code) => refusals.some((refusal) => refusal.code === code))
  if (most !== 'token_claims') return new GatepassError(most ?? 'token_key_unknown')
  const signers = refusals.filter(({ code }) => code === 'token_claims')
  return anotherIssuer(signers.map(({ issuer }) => issuer.rules.issuer))
}
