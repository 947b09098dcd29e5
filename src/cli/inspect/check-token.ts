import { type ErrorCode, type FieldProblem, GatepassError } from '../../core/errors.ts'
import type { JsonObject } from '../../core/json.ts'
import { defaultMaxTokenBytes } from '../../tokens/access-token.ts'
import { decodeBase64url, isJsonObject, parseStrictJson } from '../../tokens/strict-decoding.ts'
import { readDecrypt } from '../../verifier/decryption.ts'
import { createVerifier } from '../../verifier/verifier.ts'

export interface InspectRequest {
  readonly token: string
  /** null for the one that the token names, where the keys alone are trusted. */
  readonly issuer: string | null
  /** null accepts a token for anybody. */
  readonly audience: string | null
  /** A JWK Set to check with; without it the keys and revocations of the issuer are fetched. */
  readonly jwks: { readonly keys: readonly object[] } | null
  readonly jwksUri?: string | undefined
  readonly decryptionKeys: readonly object[]
  readonly clockToleranceSeconds: number
}

/** What a verifier says of a token, and what it looks like. */
export interface Verdict {
  readonly decoded: DecodedToken
  /** The issuer that it was checked against. */
  readonly issuer: string
  /** Why it is refused; null if it is accepted. */
  readonly code: ErrorCode | null
  readonly signature: 'good' | 'bad' | 'not checked'
  /** Whether it is of use only with a proof of its key (RFC 9449). */
  readonly needsProof: boolean
  /** Whether it was compared with what the issuer has revoked. */
  readonly revocationsChecked: boolean
  /** Why there are no keys; null if there are. */
  readonly keysError: string | null
}

const refusedAfterSignature: ReadonlySet<string> = new Set([
  'token_claims',
  'token_expired',
  'token_not_yet_valid',
  'token_revoked',
] satisfies ErrorCode[])

/** Checks a token as every verifier does. Keys and revocations are fetched; the token goes nowhere. */
export async function judgeToken(request: InspectRequest): Promise<Verdict> {
  const { audience, jwks, jwksUri, clockToleranceSeconds } = request
  const signed = openToken(request)
  const decoded = decode(signed ?? request.token)
  const issuer = request.issuer ?? issuerSaid(decoded)
  const verifier = createVerifier({
    issuer,
    audience,
    clockToleranceSeconds,
    ...(jwks === null ? { revocations: { stream: false } } : { jwks }),
    ...(jwks === null && jwksUri !== undefined && { jwksUri }),
  })
  try {
    // Without keys the token says so itself.
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
      signature: signatureOf(code),
      needsProof,
      // What is refused for anything else is not looked up.
      revocationsChecked:
        revocations?.isLoaded === true && (code === null || code === 'token_revoked'),
      keysError: keys.count > 0 ? null : keys.lastError,
    }
  } finally {
    await verifier.close()
  }
}

/** What is encrypted in it, or itself; null for one that is encrypted for a key that is not here. */
function openToken({ token, decryptionKeys }: InspectRequest): string | null {
  if (decryptionKeys.length === 0) return token
  const problems: FieldProblem[] = []
  const options = { decryptionKeys, encryptedTokens: 'optional' } as const
  const unwrap = readDecrypt(options, defaultMaxTokenBytes, problems)
  if (problems.length > 0) throw new GatepassError('config_invalid', { problems })
  try {
    return unwrap(token)
  } catch (error) {
    return error instanceof GatepassError && error.code === 'token_key_unknown' ? null : token
  }
}

function signatureOf(code: ErrorCode | null): Verdict['signature'] {
  if (code === null || refusedAfterSignature.has(code)) return 'good'
  return code === 'token_signature' ? 'bad' : 'not checked'
}

function issuerSaid({ claims }: DecodedToken): string {
  const iss = claims?.iss
  return typeof iss === 'string' && iss !== '' ? iss : 'unknown'
}

/** What a text looks like, before anything of it is believed. */
export interface DecodedToken {
  /** How many parts it has between its dots: 3 when it is signed, 5 when it is encrypted. */
  readonly parts: number
  readonly header: JsonObject | null
  /** null for what is encrypted, or can't be read. */
  readonly claims: JsonObject | null
}

const partsMax = 6

export function decode(text: string): DecodedToken {
  const parts = text.split('.', partsMax)
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
