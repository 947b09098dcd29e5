import { GatepassError } from '../../core/errors.ts'

export interface MemcachedAddress {
  readonly host: string
  readonly port: number
}

/** For memcached's own authentication (`-Y`). */
export interface MemcachedCredentials {
  readonly username: string
  readonly password: string
}

/** Files in PEM; '' where none is named. Without `ca` the machine's own certificates count. */
export interface MemcachedTlsFiles {
  readonly ca: string
  readonly cert: string
  readonly key: string
}

/** What a URL says about where the nodes are and how to get in. */
export interface MemcachedTarget {
  readonly nodes: readonly MemcachedAddress[]
  /** null: the nodes ask for none. */
  readonly credentials: MemcachedCredentials | null
  /** null is plain text. With TLS the certificate and its host name are always checked. */
  readonly tls: MemcachedTlsFiles | null
}

const defaultPort = 11_211
const nodesMax = 100
const tlsParameters = ['ca', 'cert', 'key']
const pattern = /^(memcacheds?):\/\/([^/?#]*)\/?(?:\?([^#]*))?$/

/**
 * Reads `memcached://user:password@host:port,host:port`, all nodes in any order, and the same with
 * `memcacheds` for TLS, with the files `?ca=…&cert=…&key=…`.
 *
 * @throws `config_invalid`; its detail holds nothing of the URL, as that may hold a password
 */
export function parseMemcachedUrl(text: string): MemcachedTarget {
  const [, scheme, authority = '', query = ''] = pattern.exec(text) ?? []
  if (scheme === undefined) {
    throw invalid(
      'must be memcached://host:port,host:port; in a password, percent-encode @ : / ? # and %',
    )
  }
  const userinfoEnd = authority.lastIndexOf('@')
  return {
    nodes: addressesOf(authority.slice(userinfoEnd + 1)),
    credentials: userinfoEnd === -1 ? null : credentialsOf(authority.slice(0, userinfoEnd)),
    tls: tlsOf(scheme, new URLSearchParams(query)),
  }
}

/** What the node is called, in the ring and to the operator. */
export function nameOf({ host, port }: MemcachedAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

function addressesOf(text: string): MemcachedAddress[] {
  const nodes = text.split(',').map(addressOf)
  if (nodes.length > nodesMax) throw invalid(`may name ${nodesMax} nodes at most`)
  if (new Set(nodes.map(nameOf)).size < nodes.length) throw invalid('names a node twice')
  return nodes
}

function addressOf(text: string): MemcachedAddress {
  const [, host, port] = /^(\[[0-9A-Fa-f:.]+\]|[^\s:[\]@]+)(?::(\d{1,5}))?$/.exec(text) ?? []
  const number = port === undefined ? defaultPort : Number(port)
  if (host === undefined || number < 1 || number > 65_535) {
    throw invalid('must name its nodes as host:port, with commas between them')
  }
  return { host: host.replace(/^\[|\]$/g, '').toLowerCase(), port: number }
}

/** memcached reads a name up to a colon in its file, up to a space on the wire, and no other space. */
function credentialsOf(userinfo: string): MemcachedCredentials {
  const [, username = '', password = ''] = /^([^:]*):?(.*)$/.exec(userinfo)?.map(decode) ?? []
  if (username === '' || password === '') {
    throw invalid('must have a user name and a password, or neither')
  }
  if (/[\s:]|\p{Cc}/u.test(username) || /\s|\p{Cc}/u.test(password)) {
    throw invalid('has a user name or a password that memcached cannot hold')
  }
  return { username, password }
}

function tlsOf(scheme: string, parameters: URLSearchParams): MemcachedTlsFiles | null {
  const known = scheme === 'memcacheds' ? tlsParameters : []
  const names = [...parameters.keys()]
  if (names.some((name) => !known.includes(name)) || new Set(names).size < names.length) {
    const allowed = known.length === 0 ? 'no parameter' : `each of ${known.join(', ')} at most once`
    throw invalid(`may have ${allowed} behind the question mark`)
  }
  if (known.length === 0) return null
  const [ca = '', cert = '', key = ''] = known.map((name) => parameters.get(name) ?? '')
  if ((cert === '') !== (key === '')) throw invalid('must name cert and key together')
  return { ca, cert, key }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw invalid('has a percent sign that is not percent-encoded')
  }
}

function invalid(detail: string): GatepassError {
  return new GatepassError('config_invalid', { detail: `A Memcached URL ${detail}.` })
}
