/** Compiles as an ES module and as CommonJS, with nothing installed but the verifier. */
import {
  type AccessTokenClaims,
  createVerifier,
  type ErrorCode,
  importVerificationKey,
  isGatepassError,
  type KeySource,
  type VerificationKey,
  type Verifier,
  type VerifierOptions,
} from '@gatepass/verifier'
import { type ConnectMiddleware, requireToken } from '@gatepass/verifier/express'
import { tokenGuard } from '@gatepass/verifier/fetch'

const options: VerifierOptions = { issuer: 'https://auth.example.com', audience: null }
export const verifier: Verifier = createVerifier(options)
export const middleware: ConnectMiddleware = requireToken(verifier, { scope: 'orders:read' })
export const guard = tokenGuard(verifier)

export const rolesOf = (claims: AccessTokenClaims) => claims.roles
export const statusOf = () => verifier.status()

export function publicKeyOf(keys: KeySource) {
  const found = keys.find('key-1', 'ES256')
  return typeof found === 'string' ? null : found.key
}

export function importKey(jwk: object): VerificationKey {
  const imported = importVerificationKey(jwk)
  if (imported.ok) return imported.key
  throw new Error(imported.reason)
}

export async function codeOf(token: string): Promise<ErrorCode | null> {
  try {
    const claims: AccessTokenClaims = await verifier.verify(token)
    // @ts-expect-error: a claim that RFC 9068 does not name may be anything
    const role: string = claims.role
    return role === '' ? 'token_claims' : null
  } catch (error) {
    return isGatepassError(error) ? error.code : null
  }
}
