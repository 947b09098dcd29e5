import { GatepassError } from '../core/errors.ts'
import { type Algorithm, isAlgorithm } from './algorithms.ts'
import { decodeBase64url, hasBase64, holdBase64url } from './base64url.ts'
import { accessTokenType } from './claims.ts'
import { FixedBytes } from './fixed-bytes.ts'
import { HeldBytes } from './held-bytes.ts'
import { isJsonObject, parseStrictJson } from './json.ts'

/** The default of the longest token that is looked at, in bytes. An ML-DSA-44 one has about 4000. */
export const maxTokenBytesDefault = 8192

const maxKeyIdLength = 256

/** What it takes to check a signature, by a key that its header names. */
export interface SignedText {
  readonly header: { readonly alg: Algorithm; readonly kid: string }
  /** All of it. */
  readonly text: string
  /** What was signed: the text up to its second dot (RFC 7515 §5.2). */
  readonly signingInput: string
  /** In the canonical base64url. */
  readonly signature: string
}

/** An access token, taken apart but not yet believed. */
export interface CompactToken extends SignedText {
  /** The claims in the canonical base64url. Not to be read before the signature is found good. */
  readonly payload: string
}

/** Of the token that was taken apart last. */
const held = {
  token: new HeldBytes('utf8'),
  payload: new HeldBytes('base64url'),
  signature: new HeldBytes('base64url'),
}

/** What was signed. As all that is held: there until it is asked for another token. */
export function signedBytes({ text, signingInput }: SignedText): Buffer {
  return held.token.having(text).first(signingInput.length)
}

export function signatureBytes({ signature }: SignedText): Buffer {
  return held.signature.having(signature).bytes
}

export function payloadBytes({ payload }: CompactToken): HeldBytes {
  return held.payload.having(payload)
}

/**
 * Takes an access token (RFC 9068) in JWS Compact Serialization (RFC 7515 §3.1) apart, strictly:
 * one text only for a token, and nothing in its header that is not understood.
 *
 * Of the header only `alg`, `typ`, `kid` and `crit` are read. A key or an address in it (`jwk`,
 * `x5c`, `jku`, `x5u`) is never used.
 *
 * @param maxBytes a longer token is refused unread
 * @throws `token_malformed` for a text that is no such token, `crit` in any form, or a bad `kid`;
 *   `token_algorithm` if `alg` is not one of ours; `token_type` if it is not an access token;
 *   `token_key_unknown` if it names no key
 */
export function parseCompact(token: string, maxBytes = maxTokenBytesDefault): CompactToken {
  const texts = typeof token === 'string' ? cutCompact(token, maxBytes) : null
  if (texts === null || !isBase64url(token, texts)) throw malformed()
  const { headerEnd, signingInput, payload, signature } = texts
  return { header: readHeader(token, headerEnd), text: token, signingInput, payload, signature }
}

/** Whether all of it is, but for what can be seen only when the header is read. */
function isBase64url(token: string, { payload, signature }: CompactTexts): boolean {
  const isAscii = held.token.hold(token).length === token.length
  return (
    isAscii &&
    !hasBase64(token) &&
    holdBase64url(payload, held.payload) &&
    holdBase64url(signature, held.signature)
  )
}

/** The parts of a JWS in Compact Serialization (RFC 7515 §3.1). */
export interface CompactParts {
  readonly headerBytes: Buffer
  readonly payloadBytes: Buffer
  /** In the canonical base64url. */
  readonly signature: string
  /** What was signed: the text up to its second dot (RFC 7515 §5.2). */
  readonly signingInput: string
}

/** Takes a JWS apart; null for a text that is too long, or not the one text of such bytes. */
export function splitCompact(text: string, maxBytes: number): CompactParts | null {
  const texts = cutCompact(text, maxBytes)
  if (texts === null || decodeBase64url(texts.signature) === null) return null
  const { headerEnd, payload, signature, signingInput } = texts
  const headerBytes = decodeBase64url(text.slice(0, headerEnd))
  const payloadBytes = decodeBase64url(payload)
  return headerBytes && payloadBytes && { headerBytes, payloadBytes, signature, signingInput }
}

interface CompactTexts {
  readonly headerEnd: number
  readonly payload: string
  readonly signature: string
  readonly signingInput: string
}

function cutCompact(text: string, maxBytes: number): CompactTexts | null {
  // What passes as base64url is ASCII, so its length in characters is its length in bytes.
  if (text.length > maxBytes) return null
  const headerEnd = text.indexOf('.')
  const payloadEnd = text.indexOf('.', headerEnd + 1)
  if (headerEnd === -1 || payloadEnd === -1) return null
  // A third dot would be in the signature, which is no base64url then.
  return {
    headerEnd,
    payload: text.slice(headerEnd + 1, payloadEnd),
    signature: text.slice(payloadEnd + 1),
    signingInput: text.slice(0, payloadEnd),
  }
}

/** The header that was read last: most tokens have the same, and reading it takes long. */
let last: { readonly bytes: FixedBytes; readonly header: CompactToken['header'] } | null = null

/** @param token the one that is held */
function readHeader(token: string, end: number): CompactToken['header'] {
  if (last?.bytes.length !== end || !last.bytes.isAt(0, held.token.numbers)) {
    const text = token.slice(0, end)
    const bytes = decodeBase64url(text)
    if (bytes === null) throw malformed()
    last = { bytes: new FixedBytes(text), header: readNewHeader(bytes) }
  }
  return last.header
}

function readNewHeader(bytes: Buffer): CompactToken['header'] {
  const header = parseStrictJson(bytes)
  // We understand no extension, so whatever `crit` lists is not understood (RFC 7515 §4.1.11).
  if (!isJsonObject(header) || Object.hasOwn(header, 'crit')) throw malformed()
  if (!isAlgorithm(header.alg)) throw new GatepassError('token_algorithm')
  if (!isAccessTokenType(header.typ)) throw new GatepassError('token_type')
  if (header.kid === undefined) throw new GatepassError('token_key_unknown')
  if (!isKeyId(header.kid)) throw malformed()
  return { alg: header.alg, kid: header.kid }
}

/** `typ` is a media type: its case and an "application/" before it say nothing (RFC 7515 §4.1.9). */
export function isAccessTokenType(typ: unknown): boolean {
  if (typeof typ !== 'string') return false
  const type = typ.toLowerCase()
  return type === accessTokenType || type === `application/${accessTokenType}`
}

/** Whether a value can be the id of a key: some text of bounded length without control characters. */
export function isKeyId(value: unknown): value is string {
  if (typeof value !== 'string' || value === '' || value.length > maxKeyIdLength) return false
  for (let at = 0; at < value.length; at += 1) {
    const code = value.charCodeAt(at)
    if (code < 0x20 || (code >= 0x7f && code < 0xa0)) return false
  }
  return true
}

function malformed(): GatepassError {
  return new GatepassError('token_malformed')
}
