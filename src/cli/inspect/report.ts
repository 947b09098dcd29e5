import { type ErrorCode, errorCodes } from '../../core/errors.ts'
import type { JsonObject } from '../../core/json.ts'
import { defaultMaxTokenBytes } from '../../tokens/access-token.ts'
import { algorithmNames } from '../../tokens/algorithms.ts'
import { oneLine } from '../output.ts'
import type { InspectRequest, Verdict } from './check-token.ts'

type Row = readonly [label: string, text: string]

/** All about a token, for people. */
export function reportInWords(verdict: Verdict, request: InspectRequest, now_s: number): string {
  const { code } = verdict
  const answer = explain(verdict, request, now_s)
  const rows = [...headerRows(verdict), ...claimRows(verdict, now_s)]
  const width = Math.max(...rows.map(([label]) => label.length))
  return [
    code === null ? answer : `${refusal(code)} (${code}). ${answer}`,
    '',
    ...(rows.length > 0 ? [`What it says${trust(verdict)}:`] : []),
    ...rows.map(([label, text]) => `  ${label.padEnd(width)}  ${text}`),
    ...(code === null || code === 'token_revoked' ? ['', revocationLine(verdict)] : []),
    '',
  ].join('\n')
}

/** The same for programs. */
export function reportAsJson(verdict: Verdict, request: InspectRequest, now_s: number): string {
  const { code, decoded, signature, needsProof, revocationsChecked } = verdict
  const exp = decoded.claims?.exp
  const report = {
    accepted: code === null,
    code,
    reason: explain(verdict, request, now_s),
    signature,
    needs_proof: needsProof,
    revocations_checked: revocationsChecked,
    expires_in_s: typeof exp === 'number' ? exp - now_s : null,
    header: decoded.header,
    claims: decoded.claims,
  }
  return `${oneLineEach(JSON.stringify(report, null, 2))}\n`
}

/** JSON is as good with its odd characters escaped, and does nothing to a terminal. */
function oneLineEach(json: string): string {
  return json.split('\n').map(oneLine).join('\n')
}

function refusal(code: ErrorCode): string {
  return code === 'keys_unavailable' ? 'Not checked' : 'Refused'
}

function trust({ signature }: Verdict): string {
  if (signature === 'good') return ', and its signature is good'
  return signature === 'bad' ? ', which nobody has signed' : ', which was not verified'
}

function revocationLine({ revocationsChecked, code, issuer }: Verdict): string {
  if (!revocationsChecked) return 'Whether its session has ended since was not checked.'
  return code === 'token_revoked'
    ? `${oneLine(issuer)} says that it was revoked.`
    : `${oneLine(issuer)} does not say that it was revoked.`
}

function headerRows({ decoded: { header } }: Verdict): Row[] {
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
  jti: 'id',
} as const

const timeLabels = { auth_time: 'signed in', iat: 'issued', nbf: 'valid from', exp: 'expires' }

function claimRows({ decoded: { claims } }: Verdict, now_s: number): Row[] {
  if (claims === null) return []
  const rows: Row[] = []
  for (const [name, label] of Object.entries(labels)) {
    if (Object.hasOwn(claims, name)) rows.push([label, show(claims[name])])
  }
  if (!Object.hasOwn(claims, 'scope')) rows.push(['allows', 'nothing by scope'])
  for (const [name, label] of Object.entries(timeLabels)) {
    const value = claims[name]
    if (value === undefined) continue
    rows.push([
      label,
      Number.isSafeInteger(value) ? spellInstant(Number(value), now_s) : show(value),
    ])
  }
  if (claims.cnf !== undefined) rows.push(['bound to', show(claims.cnf)])
  const known = new Set([...Object.keys(labels), ...Object.keys(timeLabels), 'cnf'])
  for (const [name, value] of Object.entries(claims)) {
    if (!known.has(name)) rows.push([oneLine(name), show(value)])
  }
  return rows
}

/** In plain sentences: that it is accepted, or why it is refused. */
export function explain(verdict: Verdict, request: InspectRequest, now_s: number): string {
  const { code, decoded, needsProof } = verdict
  const claims = decoded.claims ?? {}
  if (code !== null) return (reasons[code] ?? byTitle)(verdict, request, now_s)
  const left = Number(claims.exp) - now_s
  const time =
    left > 0
      ? `for ${spellDuration(left)} more`
      : `for a moment, as clocks may differ by ${request.clockToleranceSeconds} seconds`
  const proof = needsProof ? ', with a proof of the key that it is bound to (DPoP)' : ''
  return `It is accepted ${time}${proof}.`
}

type Reason = (verdict: Verdict, request: InspectRequest, now_s: number) => string

const byTitle: Reason = ({ code }) => (code === null ? '' : errorCodes[code].title)

const reasons: { readonly [code in string]?: Reason } = {
  token_malformed: ({ decoded }, { token }) => {
    if (token.length > defaultMaxTokenBytes) {
      return `It has ${token.length} characters; verifiers look at ${defaultMaxTokenBytes} at most.`
    }
    if (decoded.parts === 5) {
      return 'It is encrypted, and can be read only with the key of its audience (GATEPASS_DECRYPTION_KEYS), or it does not open with that.'
    }
    if (decoded.parts !== 3) {
      return `An access token has three parts between dots. This has ${decoded.parts > 5 ? 'more' : decoded.parts}: it may be cut off, or something else altogether.`
    }
    if (decoded.header === null || decoded.claims === null) {
      const part = decoded.header === null ? 'first' : 'second'
      return `Its ${part} part is not JSON in base64url: a character may have been lost or changed in copying.`
    }
    if ('crit' in decoded.header) return 'Its header has a "crit", which verifiers refuse.'
    return 'It is not spelt as the one text of a token is, or its "kid" is not acceptable.'
  },
  token_algorithm: ({ decoded }) =>
    `Its header names the algorithm ${show(decoded.header?.alg)}, or its key is for another one. Verifiers take ${algorithmNames.join(', ')}, each key for one alone.`,
  token_type: ({ decoded }) =>
    `Its header has the "typ" ${show(decoded.header?.typ)}; an access token has "at+jwt". It may be an ID token, or of an issuer that does not follow RFC 9068.`,
  token_key_unknown: ({ decoded, issuer }, { jwks }) =>
    decoded.parts === 5
      ? `It is encrypted for the key ${show(decoded.header?.kid)}, which is not among GATEPASS_DECRYPTION_KEYS.`
      : `It is signed by the key ${show(decoded.header?.kid)}, which ${jwks === null ? `${oneLine(issuer)} does not publish` : 'is not in the file'}. The token is of another issuer, or the key has been retired or revoked.`,
  token_signature: ({ decoded }) =>
    `Its signature is not by the key ${show(decoded.header?.kid)} that it names: it was changed after it was signed, was damaged in copying, or is forged. Believe nothing of it.`,
  token_claims: ({ decoded, issuer }, { audience }) =>
    explainClaims(decoded.claims ?? {}, issuer, audience),
  token_expired: ({ decoded }, _request, now_s) =>
    `It has expired: ${spellInstant(Number(decoded.claims?.exp), now_s)}. Refresh, or sign in again; if it is new, a clock is wrong.`,
  token_not_yet_valid: ({ decoded }, _request, now_s) => {
    const { iat = 0, nbf = 0 } = decoded.claims ?? {}
    const from_s = Math.max(Number(iat), Number(nbf))
    return `It is not valid yet: from ${spellInstant(from_s, now_s)}. The clock here is behind, or that of the issuer is ahead.`
  },
  token_revoked: () =>
    'Its session has ended: by a sign-out, an operator, or because a refresh token was used twice; or its key was revoked. Sign in again.',
  keys_unavailable: ({ keysError, issuer }) =>
    `It could not be checked: the keys of ${oneLine(issuer)} are not to be had (${oneLine(keysError ?? 'no answer')}). That says nothing about the token.`,
}

const required = ['iss', 'sub', 'aud', 'exp', 'iat', 'jti', 'client_id']

function explainClaims(claims: JsonObject, issuer: string, audience: string | null): string {
  const missing = required.filter((name) => !Object.hasOwn(claims, name))
  if (missing.length > 0) return `It lacks what an access token must say: ${missing.join(', ')}.`
  if (claims.iss !== issuer) {
    return `It is of the issuer ${show(claims.iss)}, and not of ${show(issuer)}.`
  }
  if (audience !== null && ![claims.aud].flat().includes(audience)) {
    return `It is for ${[claims.aud].flat().map(show).join(', ')}, and not for ${show(audience)}.`
  }
  return 'A claim is not of the form that it must have, as a time that is no whole number, or it is bound to a key in a way that is not known.'
}

/** A value of a token, as JSON, which can't be mistaken for words of ours. */
export function show(value: unknown): string {
  return value === undefined ? '(none)' : oneLine(JSON.stringify(value))
}

const units = [
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
  ['second', 1],
] as const

/** A duration in its two largest units: `4 minutes 12 seconds`. */
export function spellDuration(duration_s: number): string {
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

/** How far an instant is from now: `3 minutes ago`, `in 2 hours`. */
export function spellDistance(instant_s: number, now_s: number): string {
  const duration = spellDuration(instant_s - now_s)
  return instant_s <= now_s ? `${duration} ago` : `in ${duration}`
}

/** An instant by the clock on the wall here, with the name of its zone. */
export function spellLocalTime(instant_s: number): string {
  const date = new Date(instant_s * 1000)
  if (Number.isNaN(date.getTime())) return `${instant_s} seconds after 1970, which no calendar has`
  return date.toLocaleString('sv-SE', { dateStyle: 'short', timeStyle: 'long' })
}

/** Both: `2026-11-24 20:36:00 CET, in 4 minutes 12 seconds`. */
export function spellInstant(instant_s: number, now_s: number): string {
  return `${spellLocalTime(instant_s)}, ${spellDistance(instant_s, now_s)}`
}
