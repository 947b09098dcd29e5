import { GatepassError } from '../core/errors.ts'
import { algorithms } from './algorithms.ts'
import { base64urlLength } from './base64url.ts'
import { type AccessTokenClaims, accessTokenType } from './claims.ts'
import { encryptedTokenBytes, encryptToken } from './encrypted-token.ts'
import type { EncryptionKey } from './encryption-key.ts'
import { encodedHeader, type SigningKey, signCompact } from './sign.ts'

/** Half of the 8 KB that many servers and proxies allow for one header field. As it is sent. */
export const maxAccessTokenBytes = 4096

/** How many claims a refusal names. */
const namedClaims = 3

/**
 * Signs an access token (RFC 9068), and encrypts it where its audience has a key.
 *
 * @throws `token_too_large`, before anything is signed, naming the largest claims but no value
 */
export async function signAccessToken(
  claims: AccessTokenClaims,
  key: SigningKey,
  encryptionKey: EncryptionKey | null = null,
): Promise<string> {
  const payload = Buffer.from(JSON.stringify(claims))
  const signedBytes =
    encodedHeader(key, accessTokenType).length +
    base64urlLength(payload.length) +
    base64urlLength(signatureBytes(key)) +
    2
  const bytes =
    encryptionKey === null ? signedBytes : encryptedTokenBytes(signedBytes, encryptionKey)
  if (bytes > maxAccessTokenBytes) throw tooLarge(bytes, claims)
  const signed = await signCompact(payload, accessTokenType, key)
  return encryptionKey === null ? signed : encryptToken(signed, encryptionKey)
}

function signatureBytes({ alg, key }: SigningKey): number {
  const fixed = algorithms[alg].signatureBytes
  if (fixed !== null) return fixed
  // An RSA signature is as long as the modulus (RFC 8017 §8).
  return Math.ceil((key.asymmetricKeyDetails?.modulusLength ?? 0) / 8)
}

function tooLarge(bytes: number, claims: AccessTokenClaims): GatepassError {
  const largest = Object.entries(claims)
    .map(([name, value]) => ({ name, bytes: Buffer.byteLength(JSON.stringify(value) ?? '') }))
    .sort((a, b) => b.bytes - a.bytes)
    .slice(0, namedClaims)
    .map((claim) => `${claim.name} (${claim.bytes} bytes)`)
  return new GatepassError('token_too_large', {
    detail:
      `The access token would have ${bytes} bytes; at most ${maxAccessTokenBytes} are allowed. ` +
      `The largest claims: ${largest.join(', ')}.`,
  })
}
