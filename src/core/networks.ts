import { BlockList, isIP, isIPv4, isIPv6 } from 'node:net'

/** The networks of an address, as CIDR. */
export interface Networks {
  /** The usual network of one customer: an IPv4 address, or an IPv6 /56. */
  readonly narrow: string
  /**
   * A network of 256 narrow networks, which may belong to one customer: an IPv4 /24, or an IPv6
   * /48.
   */
  readonly wide: string
}

/** Unreadable addresses count as one network. */
const unknown: Networks = { narrow: 'unknown', wide: 'unknown' }
/** Some proxies add the port in `X-Forwarded-For`. IPv6 then stands in brackets (RFC 3986 §3.2.2). */
const withPort = /^(?:([\d.]+)|\[([^\]]+)\]):\d+$/

/** Returns the networks of an IP address in any notation. */
export function networksOf(address: string): Networks {
  const [, ipv4, ipv6 = address] = withPort.exec(address) ?? []
  const plain = ipv4 ?? ipv6.replace(/%.*$/, '')
  if (isIPv4(plain)) return networksOfIPv4(plain.split('.').map(Number))
  if (!isIPv6(plain)) return unknown
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = groupsOf(plain)
  // `::ffff:0:0/96` is IPv4 on a dual-stack socket (RFC 4291 §2.5.5.2).
  if (a + b + c + d + e === 0 && f === 0xffff) {
    return networksOfIPv4([g >> 8, g & 0xff, h >> 8, h & 0xff])
  }
  return {
    narrow: `${hex([a, b, c, d & 0xff00])}::/56`,
    wide: `${hex([a, b, c])}::/48`,
  }
}

function networksOfIPv4(bytes: readonly number[]): Networks {
  return { narrow: `${bytes.join('.')}/32`, wide: `${bytes.slice(0, 3).join('.')}.0/24` }
}

/** Returns the eight groups of an IPv6 address. */
function groupsOf(address: string): number[] {
  // The URL parser normalizes all notations and leaves `::`.
  const [head = '', tail = ''] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::')
  const first = head.split(':').filter((group) => group !== '')
  const last = tail.split(':').filter((group) => group !== '')
  const zeros = new Array(8 - first.length - last.length).fill('0')
  return [...first, ...zeros, ...last].map((group) => Number.parseInt(group, 16))
}

function hex(groups: readonly number[]): string {
  return groups.map((group) => group.toString(16)).join(':')
}

/** Returns a function that tells whether a text is one of these addresses, or in one of these ranges. */
export function addressesIn(addresses: readonly string[]): (text: string) => boolean {
  const list = new BlockList()
  for (const each of addresses) {
    const [address = '', prefix] = each.split('/')
    if (prefix === undefined) list.addAddress(address, familyOf(address))
    else list.addSubnet(address, Number(prefix), familyOf(address))
  }
  return (text) => isIP(text) !== 0 && list.check(text, familyOf(text))
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIPv6(address) ? 'ipv6' : 'ipv4'
}

/**
 * Tells whether a `Host` header names a foreign domain. DNS rebinding points such a name at this
 * machine, so that a page of the domain can read what a local browser can read.
 *
 * IP addresses, `localhost` and names without a dot belong to no domain. Browsers always send `Host`.
 *
 * @param ownNames further accepted names, in lower case; `.example.com` stands for all names below it
 */
export function isForeignHost(host: string | undefined, ownNames: readonly string[] = []): boolean {
  const [, bracketed, plain = ''] = /^(?:\[(.*)\]|(.*?))\.?(?::\d*)?$/.exec(host ?? '') ?? []
  const name = (bracketed ?? plain).toLowerCase()
  if (isIP(name) !== 0 || !name.includes('.') || name.endsWith('.localhost')) return false
  return !ownNames.some((own) => (own.startsWith('.') ? name.endsWith(own) : name === own))
}

export interface NetworkMaxima {
  /** In total. */
  readonly all: number
  /** Per IPv4 address or IPv6 /56. */
  readonly narrow: number
  /** Per IPv4 /24 or IPv6 /48. */
  readonly wide: number
}

/** Limits open connections or requests, in total and per network, so that no network uses up all. */
export class NetworkLimits {
  readonly #maxima: NetworkMaxima
  readonly #open = new Map<string, number>()
  #all = 0

  constructor(maxima: NetworkMaxima) {
    this.#maxima = maxima
  }

  /** Counts one more. Returns the function that ends it, or null if a limit is reached. */
  admit(address: string): (() => void) | null {
    const networks = networksOf(address)
    if (!this.#hasRoom(networks)) return null
    this.#count(networks, 1)
    return () => this.#count(networks, -1)
  }

  #hasRoom({ narrow, wide }: Networks): boolean {
    return (
      this.#all < this.#maxima.all &&
      (this.#open.get(`narrow ${narrow}`) ?? 0) < this.#maxima.narrow &&
      (this.#open.get(`wide ${wide}`) ?? 0) < this.#maxima.wide
    )
  }

  #count({ narrow, wide }: Networks, change: 1 | -1): void {
    this.#all += change
    for (const key of [`narrow ${narrow}`, `wide ${wide}`]) {
      const open = (this.#open.get(key) ?? 0) + change
      if (open === 0) this.#open.delete(key)
      else this.#open.set(key, open)
    }
  }
}
