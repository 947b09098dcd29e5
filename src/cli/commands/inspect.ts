import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { nowSeconds, systemClock } from '../../core/clock.ts'
import { GatepassError } from '../../core/errors.ts'
import {
  isJsonObject,
  parseStrictJson,
  withoutByteOrderMark,
} from '../../tokens/strict-decoding.ts'
import { maxKeySetBytes } from '../../verifier/keys/key-source.ts'
import { type CliContext, userConfigOf } from '../context.ts'
import { checkToken, type InspectRequest } from '../inspect/check-token.ts'
import { reportAsJson, reportInWords } from '../inspect/report.ts'
import { exitCodes, readPiped } from '../terminal.ts'
import { type IssuerOption, issuerOf, sessionOf } from './login.ts'

export interface InspectOptions extends IssuerOption {
  readonly jwks?: string
  readonly audience?: string
  readonly json: boolean
}

const maxTokenBytes = 64 * 1024

/** `gatepass token inspect`: describes a token and says whether a verifier accepts it. */
export async function inspectToken(
  context: CliContext,
  given: string | undefined,
  options: InspectOptions,
): Promise<void> {
  const request = requestOf(context, await tokenOf(context, given, options), options)
  const check = await checkToken(request)
  const report = options.json ? reportAsJson : reportInWords
  context.stdout.write(report(check, request, nowSeconds(systemClock)))
  if (check.code !== null) process.exitCode = exitCodes.failed
}

async function tokenOf(
  context: CliContext,
  given: string | undefined,
  options: InspectOptions,
): Promise<string> {
  if (given === undefined) return (await sessionOf(context, options).current()).access_token
  const text = given === '-' ? await readPiped(context.stdin, maxTokenBytes) : given
  // The text may be copied with its header or with line breaks.
  const token = text.trim().replace(/^(?:authorization: *)?(?:bearer|dpop) +/i, '')
  if (token !== '') return token
  throw new GatepassError('request_invalid', {
    detail: 'The token is empty. Give a token as argument or on standard input.',
  })
}

function requestOf(context: CliContext, token: string, options: InspectOptions): InspectRequest {
  const { settings } = userConfigOf(context)
  const jwks = options.jwks === undefined ? null : readJwks(resolve(context.cwd, options.jwks))
  const isOwnIssuer = options.issuer === undefined
  return {
    token,
    // With --jwks alone, the keys in the file are trusted, whatever issuer the token names.
    issuer: jwks === null || !isOwnIssuer ? issuerOf(context, options) : null,
    audience: options.audience ?? null,
    jwks,
    // GATEPASS_JWKS_URL has the keys of GATEPASS_ISSUER only.
    jwksUri: isOwnIssuer ? settings.jwks_url : undefined,
    decryptionKeys: settings.decryption_keys,
    clockToleranceSeconds: settings.clock_skew_s,
  }
}

/** @throws `config_invalid` */
function readJwks(path: string): { readonly keys: readonly object[] } {
  let bytes: Buffer
  try {
    bytes = readFileSync(path)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new GatepassError('config_invalid', { detail: `${path} cannot be read (${code}).` })
  }
  const jwks =
    bytes.length > maxKeySetBytes ? undefined : parseStrictJson(withoutByteOrderMark(bytes))
  if (isJsonObject(jwks) && Array.isArray(jwks.keys)) {
    return { keys: jwks.keys as readonly object[] }
  }
  throw new GatepassError('config_invalid', { detail: `${path} is not a JWK Set (RFC 7517 §5).` })
}
