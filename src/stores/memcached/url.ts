import { type ServerAddress, ServerUrlParser, type TlsFiles, tlsParameters } from '../server-url.ts'

/** For memcached's own authentication (`-Y`). */
export interface MemcachedCredentials {
  readonly username: string
  readonly password: string
}

/** What a URL says about where the nodes are and how to get in. */
export interface MemcachedTarget {
  readonly nodes: readonly ServerAddress[]
  /** null: the nodes ask for none. */
  readonly credentials: MemcachedCredentials | null
  /** null is plain text. With TLS the certificate and its host name are always checked. */
  readonly tls: TlsFiles | null
}

const defaultPort = 11_211
const nodesMax = 100

export const urlParser = new ServerUrlParser('Memcached')
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
    throw urlParser.invalid(
      'must be memcached://host:port,host:port; in a password, percent-encode @ : / ? # and %',
    )
  }
  const userinfoEnd = authority.lastIndexOf('@')
  return {
    nodes: addressesOf(authority.slice(userinfoEnd + 1)),
    credentials: userinfoEnd === -1 ? null : credentialsOf(authority.slice(0, userinfoEnd)),
    tls: tlsOf(scheme, query),
  }
}

/** What the node is called, in the ring and to the operator. */
export function nameOf({ host, port }: ServerAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

function addressesOf(text: string): ServerAddress[] {
  const nodes = text.split(',').map(addressOf)
  if (nodes.length > nodesMax) throw urlParser.invalid(`may name ${nodesMax} nodes at most`)
  if (new Set(nodes.map(nameOf)).size < nodes.length) throw urlParser.invalid('names a node twice')
  return nodes
}

function addressOf(text: string): ServerAddress {
  const address = urlParser.address(text, defaultPort)
  if (address === null) {
    throw urlParser.invalid('must name its nodes as host:port, with commas between them')
  }
  return { ...address, host: address.host.toLowerCase() }
}

/** memcached reads a name up to a colon in its file, up to a space on the wire, and no other space. */
function credentialsOf(userinfo: string): MemcachedCredentials {
  const [, username = '', password = ''] =
    /^([^:]*):?(.*)$/.exec(userinfo)?.map((part) => urlParser.decode(part)) ?? []
  if (username === '' || password === '') {
    throw urlParser.invalid('must have a user name and a password, or neither')
  }
  if (/[\s:]|\p{Cc}/u.test(username) || /\s|\p{Cc}/u.test(password)) {
    throw urlParser.invalid('has a user name or a password that memcached cannot hold')
  }
  return { username, password }
}

function tlsOf(scheme: string, query: string): TlsFiles | null {
  const isTls = scheme === 'memcacheds'
  const parameters = urlParser.parameters(query, isTls ? tlsParameters : [])
  return isTls ? urlParser.tlsFiles(parameters) : null
}
