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

  /** @param secure adds the prefix `__Host-`, so that no other host can set the cookie */
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

  /** @throws `cookie_duplicated` if it was sent twice: somebody else planted one of them */
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

/** The cookie that holds the refresh token. */
export class RefreshCookie extends HostCookie {
  /** @param suffix of the name */
  constructor(secure: boolean, suffix = '') {
    super(`gatepass${suffix}`, secure)
  }
}

/** Longest lifetime of a cookie in browsers (RFC 6265bis §5.5). */
const deviceExpiresInSeconds = 400 * 86_400

/** The cookie by which a device is recognized long after its sessions have ended. */
export class DeviceCookie extends HostCookie {
  /** @param suffix of the name */
  constructor(secure: boolean, suffix = '') {
    super(`gatepass-device${suffix}`, secure)
  }

  /** Ignores a duplicated cookie. */
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
