import type { FastifyReply, FastifyRequest } from 'fastify'
import { GatepassError } from '../core/errors.ts'

/** The refresh token's cookie (RFC 6265bis): never readable by a script, never sent by another site. */
export class RefreshCookie {
  readonly #name: string
  readonly #attributes: {
    readonly path: '/'
    readonly httpOnly: true
    readonly sameSite: 'strict'
    readonly secure: boolean
  }

  /** @param secure with it the name has the `__Host-` prefix: no other host can set it */
  constructor(secure: boolean) {
    this.#name = secure ? '__Host-gatepass' : 'gatepass'
    this.#attributes = { path: '/', httpOnly: true, sameSite: 'strict', secure }
  }

  set(reply: FastifyReply, refreshToken: string, expiresIn_s: number): void {
    reply.setCookie(this.#name, refreshToken, { ...this.#attributes, maxAge: expiresIn_s })
  }

  clear(reply: FastifyReply): void {
    reply.clearCookie(this.#name, this.#attributes)
  }

  /**
   * The refresh token that came as a cookie.
   * @throws `cookie_duplicated` when it came twice: one of them was planted by somebody else
   */
  read(request: FastifyRequest): string | undefined {
    const token = request.cookies[this.#name]
    if (token === undefined) return undefined
    const pairs = (request.headers.cookie ?? '').split(';')
    const named = pairs.filter((pair) => pair.split('=', 1)[0]?.trim() === this.#name)
    if (named.length > 1) throw new GatepassError('cookie_duplicated')
    return token
  }
}
