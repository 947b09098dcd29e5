import { BlockList, isIP } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { GatepassError } from '../core/errors.ts'
import { isForeignHost } from '../core/foreign-host.ts'

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

function isLoopback(text: string): boolean {
  const address = text.trim().replace(/^::ffff:/, '')
  const version = isIP(address)
  return version !== 0 && loopback.check(address, version === 4 ? 'ipv4' : 'ipv6')
}

/**
 * Whether a request was made on this machine. No header can claim it; but a proxy or a tunnel that
 * runs here says by one that it was not.
 */
function isLocal({ socket, headers }: FastifyRequest): boolean {
  const forwardedFor = String(headers['x-forwarded-for'] ?? socket.remoteAddress).split(',')
  return isLoopback(socket.remoteAddress ?? '') && forwardedFor.every(isLoopback)
}

function refusal(detail: string): GatepassError {
  return new GatepassError('origin_not_allowed', { detail })
}

/**
 * Who may use the playground: its own page, in a browser on this machine. Controls can kill
 * processes, so what a public service lets through on the word of a token is not enough here.
 */
export class PlaygroundGuard {
  readonly #origin: string
  readonly #host: string

  constructor(issuerUrl: string) {
    const { origin, host } = new URL(issuerUrl)
    this.#origin = origin
    this.#host = host
  }

  /** Whether it came by another name of this machine, such as `127.0.0.1`: not one to work under. */
  hasOtherName({ headers: { host = '' } }: FastifyRequest): boolean {
    return host !== '' && host !== this.#host && !isForeignHost(host)
  }

  /**
   * A name that somebody else has pointed at this machine gets nothing: pages of that name would be of
   * our origin, as their browser sees it.
   * @throws `origin_not_allowed`
   */
  checkMachine(request: FastifyRequest): void {
    if (!isLocal(request)) throw refusal('The playground is for browsers on its own machine.')
    if (request.headers.host !== this.#host) {
      throw refusal(`The playground is at ${this.#origin} only.`)
    }
  }

  /**
   * A browser says who calls, and no page can change it. What says nothing is refused as well.
   * @throws `origin_not_allowed`
   */
  checkCaller(request: FastifyRequest): void {
    this.checkMachine(request)
    const { origin, 'sec-fetch-site': site } = request.headers
    const isOurs = origin === undefined || origin === this.#origin
    const isSame = site === undefined ? origin !== undefined : site === 'same-origin'
    if (!isOurs || !isSame) throw refusal('This is for the page of the playground.')
  }
}

const contentPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ')

/** Headers of the page, and of all that it loads. */
export function addPageHeaders(reply: FastifyReply): void {
  reply.headers({
    'content-security-policy': contentPolicy,
    'cache-control': 'no-store',
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-resource-policy': 'same-origin',
    'referrer-policy': 'no-referrer',
  })
}
