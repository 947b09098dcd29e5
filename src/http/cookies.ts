import type { FastifyReply, FastifyRequest } from 'fastify'
import { GatepassError } from '../core/errors.ts'
import { randomId } from '../core/secrets.ts'

/** Longest lifetime of a cookie in browsers (RFC 6265bis §5.5). */
export const maxCookieSeconds = 400 * 86_400

/** A cookie that no script can read, and that no form or script of another site can send (RFC 6265bis). */
export class HostCookie {
  readonly name: string
  readonly #attributes: {
    readonly path: '/'
    readonly httpOnly: true
    readonly sameSite: 'strict' | 'lax'
    readonly secure: boolean
  }

  /**
   * @param secure adds the prefix `__Host-`, so that no other host can set the cookie
   * @param sameSite `lax` sends the cookie when a link or redirect of another site leads here
   */
  constructor(name: string, secure: boolean, sameSite: 'strict' | 'lax' = 'strict') {
    this.name = secure ? `__Host-${name}` : name
    this.#attributes = { path: '/', httpOnly: true, sameSite, secure }
  }

  /** @param expiresInSeconds without it the cookie ends with the browser */
  set(reply: FastifyReply, value: string, expiresInSeconds?: number): void {
    const maxAge = expiresInSeconds !== undefined && { maxAge: expiresInSeconds }
    reply.setCookie(this.name, value, { ...this.#attributes, ...maxAge })
  }

  clear(reply: FastifyReply): void {
    reply.clearCookie(this.name, this.#attributes)
  }

  /** @throws `cookie_duplicated` if it was sent twice: somebody else planted one of them */
  read(request: FastifyRequest): string | undefined {
    const { cookie = '' } = request.headers
    const start = `${this.name}=`
    // Browsers ignore only spaces and tabs around a name. If other white space counted as none, another
    // host could set this cookie despite its prefix.
    const pairs = cookie.split(/;[ \t]*/).filter((pair) => pair.startsWith(start))
    return pairs.length > 1 ? this.onDuplicate() : pairs[0]?.slice(start.length)
  }

  protected onDuplicate(): undefined {
    throw new GatepassError('cookie_duplicated')
  }
}

/** A cookie that counts as none if it was sent twice: another site may have planted one of them. */
export class LenientCookie extends HostCookie {
  protected override onDuplicate(): undefined {}
}

/** A random id of the browser, to which the forms of the pages are bound. */
export class BrowserCookie extends LenientCookie {
  /** The new ids, by the request whose response sets them. */
  readonly #given = new WeakMap<FastifyRequest, string>()

  override read(request: FastifyRequest): string | undefined {
    const id = super.read(request)
    return id !== undefined && /^[\w-]{22}$/.test(id) ? id : undefined
  }

  /** Returns the id of the browser. Sets the cookie if the browser has none. */
  ensure(request: FastifyRequest, reply: FastifyReply): string {
    const known = this.read(request) ?? this.#given.get(request)
    if (known !== undefined) return known
    const id = randomId()
    this.#given.set(request, id)
    this.set(reply, id)
    return id
  }
}
