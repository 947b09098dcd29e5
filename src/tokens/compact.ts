import { GatepassError } from '../core/errors.ts'
import { type Algorithm, isAlgorithm } from './algorithms.ts'
import { decodeBase64url } from './base64url.ts'
import { accessTokenType } from './claims.ts'
import { isJsonObject, parseStrictJson } from './json.ts'

/** The default of the longest token that is looked at, in bytes. An ML-DSA-44 one has about 4000. */
export const maxTokenBytesDefault = 8192

const maxKeyIdLength = 256

/** An access token, taken apart but not yet believed. */
export interface CompactToken {
  readonly header: { readonly alg: Algorithm; readonly kid: string }
  /** The whole token. */
  readonly text: string
  /** What was signed: the token up to its second dot (RFC 7515 §5.2). */
  readonly signingInput: string
  /** The claims as bytes. Not to be read before the signature is found good. */
  readonly payloadBytes: Buffer
  readonly signature: Buffer
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
  const body = texts && decodeBody(texts)
  if (texts === null || body === null) throw malformed()
  return {
    header: readHeader(texts.header),
    text: token,
    signingInput: texts.signingInput,
    payloadBytes: body.payloadBytes,
    signature: body.signature,
  }
}

/** The parts of a JWS in Compact Serialization (RFC 7515 §3.1), as bytes. */
export interface CompactParts {
  readonly headerBytes: Buffer
  readonly payloadBytes: Buffer
  readonly signature: Buffer
  /** What was signed: the text up to its second dot (RFC 7515 §5.2). */
  readonly signingInput: string
}

/** Takes a JWS apart; null for a text that is too long, or not the one text of such bytes. */
export function splitCompact(text: string, maxBytes: number): CompactParts | null {
  const texts = cutCompact(text, maxBytes)
  if (texts === null) return null
  const headerBytes = decodeBase64url(texts.header)
  const body = decodeBody(texts)
  return headerBytes && body && { headerBytes, ...body, signingInput: texts.signingInput }
}

interface CompactTexts {
  readonly header: string
  readonly payload: string
  readonly signature: string
  readonly signingInput: string
}

function cutCompact(text: string, maxBytes: number): CompactTexts | null {
  // What passes as base64url is ASCII, so its length in characters is its length in bytes.
  if (text.length > maxBytes) return null
  const headerEnd = text.indexOf('.')
  const payloadEnd = text.indexOf('.', headerEnd + 1)
  if (headerEnd === -1 || payloadEnd === -1 || text.includes('.', payloadEnd + 1)) return null
  return {
    header: text.slice(0, headerEnd),
    payload: text.slice(headerEnd + 1, payloadEnd),
    signature: text.slice(payloadEnd + 1),
    signingInput: text.slice(0, payloadEnd),
  }
}

function decodeBody(texts: CompactTexts): Pick<CompactParts, 'payloadBytes' | 'signature'> | null {
  const payloadBytes = decodeBase64url(texts.payload)
  const signature = decodeBase64url(texts.signature)
  return payloadBytes && signature && { payloadBytes, signature }
}

/** The header that was read last: most tokens have the same, and reading it takes long. */
let last: { readonly text: string; readonly header: CompactToken['header'] } | null = null

function readHeader(text: string): CompactToken['header'] {
  if (text !== last?.text) {
    const bytes = decodeBase64url(text)
    if (bytes === null) throw malformed()
    last = { text, header: readNewHeader(bytes) }
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
