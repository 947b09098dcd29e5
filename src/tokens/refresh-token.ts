import { createSecretKey } from 'node:crypto'
import { GatepassError } from '../core/errors.ts'
import { equalTexts, hmacText } from '../core/secrets.ts'

/** What a refresh token says, once its MAC is found good. */
export interface RefreshTokenParts {
  readonly sid: string
  readonly generation: number
}

/** Mints and reads refresh tokens (invariant 3). */
export interface RefreshTokenCodec {
  /** The token of a session's generation: a function of both and of the first secret. */
  mint(parts: RefreshTokenParts): string
  /**
   * Reads a token without asking any store.
   * @throws `refresh_token_malformed` for whatever none of the secrets has minted
   */
  parse(token: string): RefreshTokenParts
}

const prefix = 'gpr_'
const sidLength = 22
const macLength = 43
/** A session that rotates every second for its whole life stays far below. */
const maxGenerationDigits = 10
const maxLength = prefix.length + sidLength + 1 + maxGenerationDigits + 1 + macLength

/** @param secrets MAC secrets, newest first: the first one mints, each of them is accepted */
export function createRefreshTokenCodec(
  secrets: readonly [Buffer, ...Buffer[]],
): RefreshTokenCodec {
  const newest = createSecretKey(secrets[0])
  const accepted = [newest, ...secrets.slice(1).map((secret) => createSecretKey(secret))]
  return {
    mint({ sid, generation }) {
      const body = `${prefix}${sid}.${generation}`
      return `${body}.${hmacText(newest, body)}`
    },
    parse(token) {
      const bodyEnd = token.length - macLength - 1
      if (token.length > maxLength || !token.startsWith(prefix) || token[bodyEnd] !== '.') {
        throw new GatepassError('refresh_token_malformed')
      }
      const body = token.slice(0, bodyEnd)
      // Compared as text, so that a token has one spelling only.
      const mac = token.slice(bodyEnd + 1)
      if (!accepted.some((secret) => equalTexts(hmacText(secret, body), mac))) {
        throw new GatepassError('refresh_token_malformed')
      }
      // The MAC is good, so the body is one that mint() wrote.
      const dot = body.indexOf('.')
      return { sid: body.slice(prefix.length, dot), generation: Number(body.slice(dot + 1)) }
    },
  }
}
