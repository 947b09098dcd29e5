import type { ErrorCode } from '../../core/errors.ts'
import { oneLine } from '../printable.ts'
import { explain, show } from './explain.ts'
import { spellInstant } from './times.ts'
import type { InspectRequest, Verdict } from './verdict.ts'

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
