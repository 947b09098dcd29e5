import { type ServerAddress, ServerUrlParser, type TlsFiles, tlsParameters } from '../server-url.ts'

/** '' for the user `default`, and for no password. */
export interface RedisCredentials {
  readonly username: string
  readonly password: string
}

/** The parts of a Redis URL. */
export type RedisTarget = {
  /** The server, some nodes of a Cluster, or some of the sentinels. */
  readonly nodes: readonly ServerAddress[]
  readonly credentials: RedisCredentials
  /** null for plain text. With TLS, certificate and host name are always checked. */
  readonly tls: TlsFiles | null
} & (
  | { readonly topology: 'single'; readonly database: number }
  | { readonly topology: 'cluster' }
  | {
      readonly topology: 'sentinel'
      readonly database: number
      /** The name of the primary and its replicas at the sentinels. */
      readonly masterName: string
      readonly sentinelCredentials: RedisCredentials
    }
)

export const redisSchemes = [
  'redis:',
  'rediss:',
  'redis+cluster:',
  'rediss+cluster:',
  'redis+sentinel:',
  'rediss+sentinel:',
] as const

export const urlParser = new ServerUrlParser('Redis')
const sentinelParameters = ['sentinel_username', 'sentinel_password']
const pattern = /^(rediss?)(?:\+(cluster|sentinel))?:\/\/([^/?#]*)(\/[^?#]*)?(?:\?([^#]*))?$/

/**
 * Parses `redis://user:password@host:port/database`, or `redis+cluster://host:port,host:port` with some nodes,
 * or `redis+sentinel://host:port,host:port/<master name>/<database>`. `rediss` is TLS, with `?ca=…&cert=…&key=…`.
 * Sentinels get the same user unless `?sentinel_username=…&sentinel_password=…` names another.
 *
 * @throws `config_invalid`, which never quotes the URL: it may contain a password
 */
export function parseRedisUrl(text: string): RedisTarget {
  const [, scheme, kind, authority = '', path = '', query = ''] = pattern.exec(text) ?? []
  if (scheme === undefined) {
    throw urlParser.invalid(
      'must be redis://host:port; in a password, percent-encode @ : / ? # and %',
    )
  }
  const topology = kind === 'cluster' || kind === 'sentinel' ? kind : 'single'
  const userinfoEnd = authority.lastIndexOf('@')
  const credentials = credentialsOf(authority.slice(0, Math.max(0, userinfoEnd)))
  const nodes = addressesOf(authority.slice(userinfoEnd + 1), topology === 'sentinel')
  const parameters = urlParser.parameters(query, [
    ...(scheme === 'rediss' ? tlsParameters : []),
    ...(topology === 'sentinel' ? sentinelParameters : []),
  ])
  const common = {
    nodes,
    credentials,
    tls: scheme === 'rediss' ? urlParser.tlsFiles(parameters) : null,
  }
  const segments = path
    .split('/')
    .slice(1)
    .map((part) => urlParser.decode(part))
  if (topology === 'cluster') {
    if (databaseOf(segments) !== 0)
      throw urlParser.invalid('names a database, and a Cluster has only one')
    return { ...common, topology }
  }
  if (topology === 'single') {
    if (nodes.length > 1) throw urlParser.invalid('names more than one server; is it a Cluster?')
    return { ...common, topology, database: databaseOf(segments) }
  }
  const [masterName = '', ...rest] = segments
  if (masterName === '')
    throw urlParser.invalid('must end in /<master name>, the one the sentinels know')
  const sentinelCredentials = sentinelCredentialsOf(parameters) ?? credentials
  return { ...common, topology, masterName, database: databaseOf(rest), sentinelCredentials }
}

function credentialsOf(userinfo: string): RedisCredentials {
  const colon = userinfo.indexOf(':')
  const username = urlParser.decode(colon === -1 ? userinfo : userinfo.slice(0, colon))
  const password = colon === -1 ? '' : urlParser.decode(userinfo.slice(colon + 1))
  return requirePassword({ username, password })
}

function sentinelCredentialsOf(parameters: URLSearchParams): RedisCredentials | null {
  const username = parameters.get('sentinel_username')
  const password = parameters.get('sentinel_password')
  if (username === null && password === null) return null
  return requirePassword({ username: username ?? '', password: password ?? '' })
}

function requirePassword(credentials: RedisCredentials): RedisCredentials {
  if (credentials.username !== '' && credentials.password === '') {
    throw urlParser.invalid(
      'has a user name without a password; without a user name it is redis://:password@…',
    )
  }
  return credentials
}

function addressesOf(text: string, isSentinel: boolean): ServerAddress[] {
  return text.split(',').map((one) => {
    const address = urlParser.address(one, isSentinel ? 26_379 : 6379)
    if (address === null) {
      throw urlParser.invalid('must name its hosts as host:port, with commas between them')
    }
    return address
  })
}

function databaseOf(segments: readonly string[]): number {
  const [text = '', ...rest] = segments
  if (rest.length > 0 || !/^\d{0,5}$/.test(text)) {
    throw urlParser.invalid('must name its database by a number, behind one slash')
  }
  return Number(text)
}
