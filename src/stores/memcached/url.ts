import { type ServerAddress, ServerUrlParser, type TlsFiles, tlsParameters } from '../server-url.ts'

/** The user of memcached's authentication (`-Y`). */
export interface MemcachedCredentials {
  readonly username: string
  readonly password: string
}

/** The parts of a memcached URL. */
export interface MemcachedTarget {
  readonly nodes: readonly ServerAddress[]
  /** null if the nodes require none. */
  readonly credentials: MemcachedCredentials | null
  /** null for plain text. With TLS, certificate and host name are always checked. */
  readonly tls: TlsFiles | null
}

const defaultPort = 11_211
const maxNodes = 100

export const urlParser = new ServerUrlParser('Memcached')
const pattern = /^(memcacheds?):\/\/([^/?#]*)\/?(?:\?([^#]*))?$/

/**
 * Parses `memcached://user:password@host:port,host:port`, which lists all nodes in any order.
 * `memcacheds` stands for TLS, with the files `?ca=…&cert=…&key=…`.
 *
 * @throws `config_invalid`, which never quotes the URL: it may contain a password
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

/** Returns the name of a node, in the hash ring and in messages. */
export function nameOf({ host, port }: ServerAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

function addressesOf(text: string): ServerAddress[] {
  const nodes = text.split(',').map(addressOf)
  if (nodes.length > maxNodes) throw urlParser.invalid(`may name ${maxNodes} nodes at most`)
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

/** In memcached, a colon ends a name in the file of users, and white space ends it on the wire. */
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
