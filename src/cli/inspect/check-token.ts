import {
  type ErrorCode,
  type FieldProblem,
  GatepassError,
  isGatepassError,
} from '../../core/errors.ts'
import type { JsonObject } from '../../core/json.ts'
import { defaultMaxTokenBytes } from '../../tokens/access-token.ts'
import { decodeBase64url, isJsonObject, parseStrictJson } from '../../tokens/strict-decoding.ts'
import { readDecrypt } from '../../verifier/decryption.ts'
import { createVerifier } from '../../verifier/verifier.ts'

export interface InspectRequest {
  readonly token: string
  /** The trusted issuer; null to trust the keys in `jwks` alone and take the issuer from the token. */
  readonly issuer: string | null
  /** The required audience; null accepts every audience. */
  readonly audience: string | null
  /** A JWK Set; null fetches the keys and revocations of the issuer. */
  readonly jwks: { readonly keys: readonly object[] } | null
  readonly jwksUri?: string | undefined
  readonly decryptionKeys: readonly object[]
  readonly clockToleranceSeconds: number
}

/** The result of a check, with the decoded token. */
export interface TokenCheck {
  readonly decoded: DecodedToken
  /** The issuer that the token was checked against. */
  readonly issuer: string
  /** The reason of a refusal; null for an accepted token. */
  readonly code: ErrorCode | null
  /** The wrong claims of a refused token. */
  readonly problems: readonly FieldProblem[]
  readonly signature: 'good' | 'bad' | 'not checked'
  /** Whether the token requires a DPoP proof (RFC 9449). */
  readonly needsProof: boolean
  /** Whether the token was checked against the issuer's revocations. */
  readonly revocationsChecked: boolean
  /** The reason why no keys are available; null if there are keys. */
  readonly keysError: string | null
}

const refusedAfterSignature: ReadonlySet<string> = new Set([
  'token_claims',
  'token_expired',
  'token_not_yet_valid',
  'token_revoked',
] satisfies ErrorCode[])

/** Checks a token with the verifier library. Fetches keys and revocations; sends the token nowhere. */
export async function checkToken(request: InspectRequest): Promise<TokenCheck> {
  const { audience, jwks, jwksUri, clockToleranceSeconds } = request
  const signed = decryptToken(request)
  const decoded = decode(signed ?? request.token)
  const issuer = request.issuer ?? claimedIssuer(decoded)
  const verifier = createVerifier({
    issuer,
    audience,
    clockToleranceSeconds,
    ...(jwks === null ? { revocations: { stream: false } } : { jwks }),
    ...(jwks === null && jwksUri !== undefined && { jwksUri }),
  })
  try {
    // Without keys `verify` fails with `keys_unavailable`.
    await verifier.ready().catch(() => {})
    const refusal =
      signed === null
        ? new GatepassError('token_key_unknown')
        : await verifier.verify(signed).then(
            () => null,
            (error: GatepassError) => error,
          )
    const { keys, revocations } = verifier.status()
    const needsProof = refusal?.code === 'dpop_proof_missing'
    const code = needsProof ? null : (refusal?.code ?? null)
    return {
      decoded,
      issuer,
      code,
      problems: refusal?.problems ?? [],
      signature: signatureOf(code),
      needsProof,
      // The verifier checks revocations last.
      revocationsChecked:
        revocations?.isLoaded === true && (code === null || code === 'token_revoked'),
      keysError: keys.count > 0 ? null : keys.lastError,
    }
  } finally {
    await verifier.close()
  }
}

/** Decrypts an encrypted token. @returns the signed token; null if the decryption key is missing */
function decryptToken({ token, decryptionKeys }: InspectRequest): string | null {
  if (decryptionKeys.length === 0) return token
  const problems: FieldProblem[] = []
  const options = { decryptionKeys, encryptedTokens: 'optional' } as const
  const unwrap = readDecrypt(options, defaultMaxTokenBytes, problems)
  if (problems.length > 0) throw new GatepassError('config_invalid', { problems })
  try {
    return unwrap(token)
  } catch (error) {
    return isGatepassError(error, 'token_key_unknown') ? null : token
  }
}

function signatureOf(code: ErrorCode | null): TokenCheck['signature'] {
  if (code === null || refusedAfterSignature.has(code)) return 'good'
  return code === 'token_signature' ? 'bad' : 'not checked'
}

function claimedIssuer({ claims }: DecodedToken): string {
  const iss = claims?.iss
  return typeof iss === 'string' && iss !== '' ? iss : 'unknown'
}

/** The parts of a token, decoded but not verified. */
export interface DecodedToken {
  /** The number of parts between dots: 3 in a signed token, 5 in an encrypted one. */
  readonly parts: number
  readonly header: JsonObject | null
  /** null if encrypted or unreadable. */
  readonly claims: JsonObject | null
}

const maxParts = 6

function decode(text: string): DecodedToken {
  const parts = text.split('.', maxParts)
  const [header = '', payload = ''] = parts
  return {
    parts: parts.length,
    header: readObject(header),
    claims: parts.length === 3 ? readObject(payload) : null,
  }
}

function readObject(part: string): JsonObject | null {
  const bytes = decodeBase64url(part)
  const value = bytes === null ? undefined : parseStrictJson(bytes)
  return isJsonObject(value) ? value : null
}
