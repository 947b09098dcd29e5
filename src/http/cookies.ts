import type { FastifyReply, FastifyRequest } from 'fastify'
import { GatepassError, isGatepassError } from '../core/errors.ts'

/** A cookie that no script can read and no other site can send (RFC 6265bis). */
class HostCookie {
  readonly name: string
  readonly #attributes: {
    readonly path: '/'
    readonly httpOnly: true
    readonly sameSite: 'strict'
    readonly secure: boolean
  }

  /** @param secure with it the name has the `__Host-` prefix: no other host can set it */
  constructor(name: string, secure: boolean) {
    this.name = secure ? `__Host-${name}` : name
    this.#attributes = { path: '/', httpOnly: true, sameSite: 'strict', secure }
  }

  set(reply: FastifyReply, value: string, expiresInSeconds: number): void {
    reply.setCookie(this.name, value, { ...this.#attributes, maxAge: expiresInSeconds })
  }

  clear(reply: FastifyReply): void {
    reply.clearCookie(this.name, this.#attributes)
  }

  /**
   * What came as the cookie.
   * @throws `cookie_duplicated` when it came twice: one of them was planted by somebody else
   */
  read(request: FastifyRequest): string | undefined {
    const { cookie } = request.headers
    if (cookie === undefined) return undefined
    const value = request.server.parseCookie(cookie)[this.name]
    if (value === undefined) return undefined
    const pairs = cookie.split(';')
    const named = pairs.filter((pair) => pair.split('=', 1)[0]?.trim() === this.name)
    if (named.length > 1) throw new GatepassError('cookie_duplicated')
    return value
  }
}

/** The refresh token's cookie. */
export class RefreshCookie extends HostCookie {
  /** @param suffix of the name */
  constructor(secure: boolean, suffix = '') {
    super(`gatepass${suffix}`, secure)
  }
}

/** What browsers let a cookie live at most (RFC 6265bis §5.5). */
const deviceExpiresInSeconds = 400 * 86_400

/** The cookie by which a device is known again, long after its sessions have ended. */
export class DeviceCookie extends HostCookie {
  /** @param suffix of the name */
  constructor(secure: boolean, suffix = '') {
    super(`gatepass-device${suffix}`, secure)
  }

  /** Two of them are as good as none: one was planted, and which does not matter. */
  override read(request: FastifyRequest): string | undefined {
    try {
      return super.read(request)
    } catch (error) {
      if (isGatepassError(error, 'cookie_duplicated')) return undefined
      throw error
    }
  }

  remember(reply: FastifyReply, deviceToken: string): void {
    this.set(reply, deviceToken, deviceExpiresInSeconds)
  }
}
