import type { FastifyReply, FastifyRequest } from 'fastify'
import { GatepassError } from '../core/errors.ts'
import { addressesIn, isForeignHost } from '../core/networks.ts'

const isLoopback = addressesIn(['127.0.0.0/8', '::1'])

/**
 * Whether a request comes from this machine. `X-Forwarded-For` cannot make a remote request local, but it
 * reveals a remote client behind a local proxy or tunnel.
 */
function isLocal({ socket, headers }: FastifyRequest): boolean {
  const forwardedFor = String(headers['x-forwarded-for'] ?? socket.remoteAddress).split(',')
  const addresses = [socket.remoteAddress ?? '', ...forwardedFor]
  return addresses.every((address) => isLoopback(address.trim()))
}

function refusal(detail: string): GatepassError {
  return new GatepassError('origin_not_allowed', { detail })
}

/**
 * Allows the playground's own page in a browser on this machine, and no other caller. The controls can
 * kill processes, so a valid token is not enough.
 */
export class PlaygroundGuard {
  readonly #origin: string
  readonly #host: string

  constructor(issuerUrl: string) {
    const { origin, host } = new URL(issuerUrl)
    this.#origin = origin
    this.#host = host
  }

  /** Whether the request uses another local name of this machine, such as `127.0.0.1`. */
  hasOtherName({ headers: { host = '' } }: FastifyRequest): boolean {
    return host !== '' && host !== this.#host && !isForeignHost(host)
  }

  /**
   * Rejects remote callers and foreign host names: with DNS rebinding, a page of a foreign name would
   * share this origin.
   * @throws `origin_not_allowed`
   */
  checkMachine(request: FastifyRequest): void {
    if (!isLocal(request))
      throw refusal('The playground works only in a browser on the same machine.')
    if (request.headers.host !== this.#host) {
      throw refusal(`Open the playground at ${this.#origin}.`)
    }
  }

  /**
   * Rejects callers other than the page, by headers that a browser sets and no page can change. A request
   * without these headers is rejected, too.
   * @throws `origin_not_allowed`
   */
  checkCaller(request: FastifyRequest): void {
    this.checkMachine(request)
    const { origin, 'sec-fetch-site': site } = request.headers
    const isOurs = origin === undefined || origin === this.#origin
    const isSame = site === undefined ? origin !== undefined : site === 'same-origin'
    if (!isOurs || !isSame) throw refusal('Only the page of the playground may send this request.')
  }
}

/**
 * Returns the Content-Security-Policy of a page.
 *
 * @param origins what its script may call besides its own origin
 */
export function contentPolicy(origins: readonly string[] = []): string {
  return [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    ["connect-src 'self'", ...origins].join(' '),
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; ')
}

/** Sets the security headers of the page and of its files. */
export function addPageHeaders(reply: FastifyReply): void {
  reply.headers({
    'content-security-policy': contentPolicy(),
    'cache-control': 'no-store',
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-resource-policy': 'same-origin',
    'referrer-policy': 'no-referrer',
  })
}
