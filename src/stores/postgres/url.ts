import { isLocal, ServerUrlParser } from '../server-url.ts'

export const postgresSchemes: readonly string[] = ['postgres:', 'postgresql:']

const parameterNames = ['sslmode', 'sslrootcert']
const urlParser = new ServerUrlParser('Postgres')

/**
 * The sslmode of libpq. `allow` and `prefer` are missing: an attacker in the network could turn TLS off.
 */
const tlsModes = ['disable', 'require', 'verify-ca', 'verify-full'] as const
export type TlsMode = (typeof tlsModes)[number]

/** The parts of a `postgres:` URL. */
export interface PostgresTarget {
  /** A name, an address, or the folder of a Unix socket, which starts with a slash. */
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
  readonly database: string
  readonly tlsMode: TlsMode
  /** A file of trusted certificates; null for those of Node. */
  readonly rootCertificateFile: string | null
}

/**
 * Parses `postgres://user:password@host:port/database?sslmode=…&sslrootcert=…`. The default for another
 * machine is `verify-full`. The folder of a Unix socket is a host with its slashes as `%2F`.
 *
 * @throws `config_invalid`, which never quotes the URL: it may contain a password
 */
export function parsePostgresUrl(text: string): PostgresTarget {
  const url = URL.parse(text)
  if (url === null || !postgresSchemes.includes(url.protocol) || url.hash !== '') {
    throw urlParser.invalid('is not of the form postgres://user:password@host:port/database')
  }
  const parameters = urlParser.parameters(url.search, parameterNames)
  const host = urlParser.decode(url.hostname).replace(/^\[(.*)\]$/, '$1')
  const user = urlParser.decode(url.username)
  const database = urlParser.decode(url.pathname.slice(1))
  for (const [what, value] of Object.entries({ host, user, database })) {
    if (value === '') throw urlParser.invalid(`names no ${what}`)
  }
  return {
    host,
    port: url.port === '' ? 5432 : Number(url.port),
    user,
    password: urlParser.decode(url.password),
    database,
    ...readTls(parameters, host),
  }
}

function readTls(
  given: URLSearchParams,
  host: string,
): Pick<PostgresTarget, 'tlsMode' | 'rootCertificateFile'> {
  const name = given.get('sslmode') ?? (isLocal({ host }) ? 'disable' : 'verify-full')
  const tlsMode = tlsModes.find((mode) => mode === name)
  if (tlsMode === undefined)
    throw urlParser.invalid(`has an unknown sslmode; use one of ${tlsModes.join(', ')}`)
  const rootCertificateFile = given.get('sslrootcert')
  if (rootCertificateFile !== null && !tlsMode.startsWith('verify-')) {
    throw urlParser.invalid('has an sslrootcert, which only sslmode=verify-ca and verify-full use')
  }
  // A public authority certifies any name, so it proves nothing without the host name.
  if (rootCertificateFile === null && tlsMode === 'verify-ca') {
    throw urlParser.invalid('has sslmode=verify-ca, which needs an sslrootcert')
  }
  return { tlsMode, rootCertificateFile }
}
