import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { nowSeconds, systemClock } from '../../core/clock.ts'
import {
  type ErrorCode,
  errorCodes,
  type FieldProblem,
  GatepassError,
  isGatepassError,
} from '../../core/errors.ts'
import type { JsonObject } from '../../core/json.ts'
import { defaultMaxTokenBytes } from '../../tokens/access-token.ts'
import { algorithmNames } from '../../tokens/algorithms.ts'
import {
  decodeBase64url,
  isJsonObject,
  parseStrictJson,
  withoutByteOrderMark,
} from '../../tokens/strict-decoding.ts'
import { readDecrypt } from '../../verifier/decryption.ts'
import { maxKeySetBytes } from '../../verifier/keys/key-source.ts'
import { createVerifier } from '../../verifier/verifier.ts'
import { type CliContext, userConfigOf } from '../context.ts'
import { exitCodes, oneLine, printableJson, readPiped } from '../terminal.ts'
import { type IssuerOption, issuerOf, sessionOf } from './login.ts'

interface InspectOptions extends IssuerOption {
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
interface TokenCheck {
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
interface DecodedToken {
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

type Row = readonly [label: string, text: string]

/** Describes a token for people. */
export function reportInWords(check: TokenCheck, request: InspectRequest, now_s: number): string {
  const { code } = check
  const answer = explain(check, request, now_s)
  const refusal = code === 'keys_unavailable' ? 'Not checked' : 'Refused'
  const rows = [...headerRows(check), ...claimRows(check, now_s)]
  const width = Math.max(...rows.map(([label]) => label.length))
  return [
    code === null ? answer : `${refusal} (${code}). ${answer}`,
    '',
    ...(rows.length > 0 ? [`Content${trust(check)}:`] : []),
    ...rows.map(([label, text]) => `  ${label.padEnd(width)}  ${text}`),
    ...(code === null || code === 'token_revoked' ? ['', revocationLine(check)] : []),
    '',
  ].join('\n')
}

export function reportAsJson(check: TokenCheck, request: InspectRequest, now_s: number): string {
  const { code, decoded, signature, needsProof, revocationsChecked } = check
  const exp = decoded.claims?.exp
  const report = {
    accepted: code === null,
    code,
    reason: explain(check, request, now_s),
    signature,
    needs_proof: needsProof,
    revocations_checked: revocationsChecked,
    expires_in_s: typeof exp === 'number' ? exp - now_s : null,
    header: decoded.header,
    claims: decoded.claims,
  }
  return printableJson(report)
}

function trust({ signature }: TokenCheck): string {
  if (signature === 'good') return ' (the signature is valid)'
  return signature === 'bad' ? ' (the signature is not valid)' : ' (not verified)'
}

function revocationLine({ revocationsChecked, code, issuer }: TokenCheck): string {
  if (!revocationsChecked) return 'Revocation was not checked: the session may have ended.'
  return code === 'token_revoked'
    ? `${oneLine(issuer)} has revoked the token.`
    : `${oneLine(issuer)} has not revoked the token.`
}

function headerRows({ decoded: { header } }: TokenCheck): Row[] {
  if (header === null) return []
  return [['signed by', `key ${show(header.kid)}, algorithm ${show(header.alg)}`]]
}

const labels = {
  iss: 'issuer',
  sub: 'user',
  client_id: 'client',
  sid: 'session',
  aud: 'for',
  scope: 'allows',
  amr: 'signed in by',
  acr: 'at level',
  jti: 'id',
} as const

const timeLabels = { auth_time: 'signed in', iat: 'issued', nbf: 'valid from', exp: 'expires' }

function claimRows({ decoded: { claims } }: TokenCheck, now_s: number): Row[] {
  if (claims === null) return []
  const rows: Row[] = []
  for (const [name, label] of Object.entries(labels)) {
    if (Object.hasOwn(claims, name)) rows.push([label, show(claims[name])])
  }
  if (!Object.hasOwn(claims, 'scope')) rows.push(['allows', 'no scope'])
  for (const [name, label] of Object.entries(timeLabels)) {
    const value = claims[name]
    if (value === undefined) continue
    rows.push([label, Number.isSafeInteger(value) ? formatTime(Number(value), now_s) : show(value)])
  }
  if (claims.cnf !== undefined) rows.push(['bound to', show(claims.cnf)])
  const known = new Set([...Object.keys(labels), ...Object.keys(timeLabels), 'cnf'])
  for (const [name, value] of Object.entries(claims)) {
    if (!known.has(name)) rows.push([oneLine(name), show(value)])
  }
  return rows
}

/** Explains in sentences that a token is accepted, or why it is refused. */
function explain(check: TokenCheck, request: InspectRequest, now_s: number): string {
  const { code, decoded, needsProof } = check
  const claims = decoded.claims ?? {}
  if (code !== null) return reasons[code]?.(check, request, now_s) ?? errorCodes[code].title
  const left = Number(claims.exp) - now_s
  const time =
    left > 0
      ? `for ${formatDuration(left)} more`
      : `until the clock tolerance of ${request.clockToleranceSeconds} seconds has passed`
  const proof = needsProof ? ', with a DPoP proof of the key that the token is bound to' : ''
  return `The token is accepted ${time}${proof}.`
}

type Reason = (check: TokenCheck, request: InspectRequest, now_s: number) => string

const reasons: { readonly [code in ErrorCode]?: Reason } = {
  token_malformed: ({ decoded }, { token }) => {
    if (token.length > defaultMaxTokenBytes) {
      return `The token has ${token.length} characters. Verifiers accept ${defaultMaxTokenBytes} at most.`
    }
    if (decoded.parts === 5) {
      return 'The token is encrypted, and no key in GATEPASS_DECRYPTION_KEYS decrypts it.'
    }
    if (decoded.parts !== 3) {
      return `An access token has three parts between dots. This text has ${decoded.parts > 5 ? 'more' : decoded.parts}. The token may be cut off, or the text is not an access token.`
    }
    if (decoded.header === null || decoded.claims === null) {
      const part = decoded.header === null ? 'first' : 'second'
      return `The ${part} part is not JSON in base64url. A character may have been lost or changed in copying.`
    }
    if ('crit' in decoded.header) return 'The header has a "crit" member, which verifiers refuse.'
    return 'The encoding is not canonical base64url, or the "kid" is not acceptable.'
  },
  token_algorithm: ({ decoded }) =>
    `The header names the algorithm ${show(decoded.header?.alg)}. Verifiers accept ${algorithmNames.join(', ')}, and each key works with one algorithm only.`,
  token_type: ({ decoded }) =>
    `The header has the "typ" ${show(decoded.header?.typ)}. An access token has "at+jwt". This may be an ID token, or a token of an issuer that does not follow RFC 9068.`,
  token_key_unknown: ({ decoded, issuer }, { jwks }) => {
    const key = show(decoded.header?.kid)
    if (decoded.parts === 5) {
      return `The token is encrypted for the key ${key}, which is not in GATEPASS_DECRYPTION_KEYS.`
    }
    const place = jwks === null ? `${oneLine(issuer)} does not publish` : 'is not in the file'
    return `The token is signed by the key ${key}, which ${place}. Another issuer issued the token, or the key was retired or revoked.`
  },
  token_signature: ({ decoded }) =>
    `The signature does not match the key ${show(decoded.header?.kid)}. The token was changed, damaged in copying, or forged. Do not trust its content.`,
  token_claims: explainClaims,
  token_expired: ({ decoded }, _request, now_s) =>
    `The token has expired: ${formatTime(Number(decoded.claims?.exp), now_s)}. Refresh, or sign in again. If the token is new, check the clocks.`,
  token_not_yet_valid: ({ decoded }, _request, now_s) => {
    const { iat = 0, nbf = 0 } = decoded.claims ?? {}
    const from_s = Math.max(Number(iat), Number(nbf))
    return `The token is valid from ${formatTime(from_s, now_s)}. The clock of this machine is behind, or the clock of the issuer is ahead.`
  },
  token_revoked: () =>
    'The session was ended by a sign-out, an operator or a reused refresh token, or the key was revoked. Sign in again.',
  keys_unavailable: ({ keysError, issuer }) =>
    `The token could not be checked: the keys of ${oneLine(issuer)} are unavailable (${oneLine(keysError ?? 'no answer')}). The token may be valid.`,
}

function explainClaims({ decoded: { claims }, problems }: TokenCheck): string {
  if (claims === null) return 'The content is not a JSON object, or has a member twice.'
  const wrong = problems.map(({ pointer, detail }) => ({ name: pointer.slice(1), detail }))
  const missing = wrong.filter(({ name }) => !Object.hasOwn(claims, name))
  if (missing.length > 0) {
    return `Required claims are missing: ${missing.map(({ name }) => name).join(', ')}.`
  }
  return wrong
    .map(({ name, detail }) => `The claim "${name}" is ${show(claims[name])}: it ${detail}.`)
    .join(' ')
}

/** Shows a value of the token as JSON, so that it cannot be mistaken for part of a message. */
function show(value: unknown): string {
  return value === undefined ? '(none)' : oneLine(JSON.stringify(value))
}

const units = [
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
  ['second', 1],
] as const

/** Formats a duration in its two largest units: `4 minutes 12 seconds`. */
function formatDuration(duration_s: number): string {
  let rest_s = Math.round(Math.abs(duration_s))
  const words: string[] = []
  for (const [name, size_s] of units) {
    const count = Math.floor(rest_s / size_s)
    rest_s %= size_s
    if (count > 0) words.push(`${count} ${name}${count === 1 ? '' : 's'}`)
    else if (words.length > 0) break
    if (words.length === 2) break
  }
  return words.length === 0 ? 'less than a second' : words.join(' ')
}

function formatLocalTime(time_s: number): string {
  const date = new Date(time_s * 1000)
  if (Number.isNaN(date.getTime())) return `${time_s} seconds after 1970, which is not a valid date`
  return date.toLocaleString('sv-SE', { dateStyle: 'short', timeStyle: 'long' })
}

/** Formats local and relative time: `2026-11-24 20:36:00 CET, in 4 minutes 12 seconds`. */
export function formatTime(time_s: number, now_s: number): string {
  const duration = formatDuration(time_s - now_s)
  const distance = time_s <= now_s ? `${duration} ago` : `in ${duration}`
  return `${formatLocalTime(time_s)}, ${distance}`
}
