import { GatepassError } from '../core/errors.ts'

const scheme = 'bearer'

/**
 * The token of an `Authorization` header (RFC 6750 §2.1).
 *
 * @throws `token_missing` if there is no header or it is of another scheme; `token_malformed` if
 *   anything but one credential follows the scheme
 */
export function bearerToken(authorization: string | undefined): string {
  if (authorization === undefined) throw new GatepassError('token_missing')
  const schemeEnd = authorization.indexOf(' ')
  const given = schemeEnd === -1 ? authorization : authorization.slice(0, schemeEnd)
  if (given.toLowerCase() !== scheme) throw new GatepassError('token_missing')
  const token = schemeEnd === -1 ? '' : authorization.slice(schemeEnd + 1)
  if (token === '' || token.includes(' ')) throw new GatepassError('token_malformed')
  return token
}
