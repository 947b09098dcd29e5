import { BlockList, isIPv6 } from 'node:net'
import type { FastifyRequest } from 'fastify'
import { type RequestTarget, readPublicUrl } from '../verifier/dpop/target-uri.ts'

export interface ForwardedTargetOptions {
  /** Proxies whose `X-Forwarded-*` headers are trusted: addresses and CIDR ranges. */
  readonly trustedProxies: readonly string[]
  /** Public URL of the services behind the proxy. */
  readonly publicUrl?: string | undefined
}

/**
 * Returns a function that finds the request which a proxy asks about, for its DPoP proof.
 *
 * A trusted proxy describes it in `X-Forwarded-Method` and `X-Forwarded-Uri`, and without a public URL
 * in `X-Forwarded-Proto` and `X-Forwarded-Host`. Clients can send these headers too, so other senders
 * are ignored, and the function returns the request at hand.
 */
export function forwardedTarget(
  options: ForwardedTargetOptions,
): (request: FastifyRequest) => RequestTarget {
  const { trustedProxies, publicUrl } = options
  const isTrusted = addressesIn(trustedProxies)
  const ownTarget = readPublicUrl(publicUrl)
  return (request) => {
    const { headers, socket } = request
    const path = one(headers['x-forwarded-uri'])
    if (path === undefined || !isTrusted(socket.remoteAddress)) return ownTarget(request)
    const proto = one(headers['x-forwarded-proto'])
    const host = one(headers['x-forwarded-host'])
    const base = publicUrl ?? `${proto}://${host}`
    const isPath = path.startsWith('/') && !path.includes(' ')
    // A missing or repeated header results in a target that no proof matches.
    return {
      method: one(headers['x-forwarded-method']) ?? '',
      uri: isPath ? `${base}${path}` : '',
    }
  }
}

function one(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header.join(', ') : header
}

/** Returns a function that tells whether an address is in a list of addresses and ranges. */
function addressesIn(addresses: readonly string[]): (address: string | undefined) => boolean {
  const list = new BlockList()
  for (const each of addresses) {
    const [address = '', prefix] = each.split('/')
    const family = isIPv6(address) ? 'ipv6' : 'ipv4'
    if (prefix === undefined) list.addAddress(address, family)
    else list.addSubnet(address, Number(prefix), family)
  }
  return (address) =>
    address !== undefined && list.check(address, isIPv6(address) ? 'ipv6' : 'ipv4')
}
