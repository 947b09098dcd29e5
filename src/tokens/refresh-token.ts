import { GatepassError } from '../core/errors.ts'
import { Mac, type Secrets } from '../core/secrets.ts'

/** The content of a refresh token with a valid MAC. */
export interface RefreshTokenParts {
  readonly sid: string
  readonly generation: number
}

const prefix = 'gpr_'
const sidLength = 22
const macLength = 43
/** A session with a rotation per second stays below this number for its whole lifetime. */
const maxGenerationDigits = 10
const maxLength = prefix.length + sidLength + 1 + maxGenerationDigits + 1 + macLength

/** Mints and reads refresh tokens (invariant 3). */
export class RefreshTokenCodec {
  readonly #mac: Mac

  constructor(secrets: Secrets) {
    this.#mac = new Mac(secrets)
  }

  /** Returns the token of a generation: a function of session, generation and first secret. */
  mint({ sid, generation }: RefreshTokenParts): string {
    const body = `${prefix}${sid}.${generation}`
    return `${body}.${this.#mac.of(body)}`
  }

  /**
   * Parses a token without a store.
   * @throws `refresh_token_malformed` unless one of the secrets has minted the token
   */
  parse(token: string): RefreshTokenParts {
    const bodyEnd = token.length - macLength - 1
    const body = token.slice(0, bodyEnd)
    const hasForm = token.length <= maxLength && body.startsWith(prefix) && token[bodyEnd] === '.'
    // The MAC is compared as text: a token has one text only.
    if (!hasForm || !this.#mac.isValid(body, token.slice(bodyEnd + 1))) {
      throw new GatepassError('refresh_token_malformed')
    }
    // The MAC is valid, so mint() has written the body.
    const dot = body.indexOf('.')
    return { sid: body.slice(prefix.length, dot), generation: Number(body.slice(dot + 1)) }
  }
}
