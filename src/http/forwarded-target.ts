import { BlockList, isIPv6 } from 'node:net'
import type { FastifyRequest } from 'fastify'
import { type RequestTarget, readPublicUrl } from '../verifier/dpop/target-uri.ts'

export interface ForwardedTargetOptions {
  /** Proxies that are believed what they forward: addresses and CIDR ranges. */
  readonly trustedProxies: readonly string[]
  /** The address that clients call the services behind the proxy by. */
  readonly publicUrl?: string | undefined
}

/**
 * The request that a proxy asks about, for the proof of its token: by `X-Forwarded-Method` and
 * `X-Forwarded-Uri`, at the public address, or where there is none at `X-Forwarded-Proto` and
 * `X-Forwarded-Host`. A client can send all of these, so they count from a trusted proxy alone,
 * which has to set them itself. Without them it is the request at hand.
 */
export function forwardedTarget(
  options: ForwardedTargetOptions,
): (request: FastifyRequest) => RequestTarget {
  const { trustedProxies, publicUrl } = options
  const isTrusted = addressesIn(trustedProxies)
  const targetAtHand = readPublicUrl(publicUrl)
  return (request) => {
    const { headers, socket } = request
    const path = one(headers['x-forwarded-uri'])
    if (path === undefined || !isTrusted(socket.remoteAddress)) return targetAtHand(request)
    const proto = one(headers['x-forwarded-proto'])
    const host = one(headers['x-forwarded-host'])
    const base = publicUrl ?? `${proto}://${host}`
    const isPath = path.startsWith('/') && !path.includes(' ')
    // What is missing or came twice makes a method or an address that no proof is for.
    return {
      method: one(headers['x-forwarded-method']) ?? '',
      uri: isPath ? `${base}${path}` : '',
    }
  }
}

function one(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header.join(', ') : header
}

/** Whether an address is one of these, or in one of these ranges. */
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
