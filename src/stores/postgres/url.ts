import { GatepassError } from '../../core/errors.ts'

const schemes = new Set(['postgres:', 'postgresql:'])
const loopbackHosts = new Set(['localhost', '127.0.0.1', '::1'])
const parameters = new Set(['sslmode', 'sslrootcert'])

/**
 * How the server proves who it is (the sslmode of libpq). Its `allow` and `prefer` are left out:
 * they give way to whoever says that there is no TLS.
 */
const tlsModes = ['disable', 'require', 'verify-ca', 'verify-full'] as const
export type TlsMode = (typeof tlsModes)[number]

/** What a `postgres:` URL says. */
export interface PostgresTarget {
  /** A name or an address; the folder of a Unix socket when it starts with a slash. */
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
  readonly database: string
  readonly tlsMode: TlsMode
  /** The file of the certificates to trust; null for those that Node trusts. */
  readonly rootCertificateFile: string | null
}

/** Whether only this machine can listen in. */
export function isLocal({ host }: Pick<PostgresTarget, 'host'>): boolean {
  return host.startsWith('/') || loopbackHosts.has(host)
}

/**
 * Reads `postgres://user:password@host:port/database?sslmode=…&sslrootcert=…`. A host of another
 * machine is reached by TLS with its certificate checked (`verify-full`) unless the URL says
 * otherwise. A Unix socket's folder stands for the host with its slashes as `%2F`.
 *
 * @throws `config_invalid`, which never quotes the URL: there is a password in it
 */
export function parsePostgresUrl(text: string): PostgresTarget {
  const url = URL.parse(text)
  if (url === null || !schemes.has(url.protocol) || url.hash !== '') {
    throw refuse('is not of the form postgres://user:password@host:port/database')
  }
  const unknown = [...url.searchParams.keys()].filter((name) => !parameters.has(name))
  if (unknown.length > 0) throw refuse(`has parameters that are not known: ${unknown.join(', ')}`)
  const host = decode(url.hostname).replace(/^\[(.*)\]$/, '$1')
  const user = decode(url.username)
  const database = decode(url.pathname.slice(1))
  for (const [what, value] of Object.entries({ host, user, database })) {
    if (value === '') throw refuse(`names no ${what}`)
  }
  return {
    host,
    port: url.port === '' ? 5432 : Number(url.port),
    user,
    password: decode(url.password),
    database,
    ...readTls(url.searchParams, host),
  }
}

function readTls(
  given: URLSearchParams,
  host: string,
): Pick<PostgresTarget, 'tlsMode' | 'rootCertificateFile'> {
  const name = given.get('sslmode') ?? (isLocal({ host }) ? 'disable' : 'verify-full')
  const tlsMode = tlsModes.find((mode) => mode === name)
  if (tlsMode === undefined) throw refuse(`has an sslmode that is none of ${tlsModes.join(', ')}`)
  const rootCertificateFile = given.get('sslrootcert')
  if (rootCertificateFile !== null && !tlsMode.startsWith('verify-')) {
    throw refuse('has an sslrootcert, which only sslmode=verify-ca and verify-full use')
  }
  // Anyone can have a certificate of a public authority for a name of their own.
  if (rootCertificateFile === null && tlsMode === 'verify-ca') {
    throw refuse('has sslmode=verify-ca, which needs an sslrootcert')
  }
  return { tlsMode, rootCertificateFile }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw refuse('has a % that starts no escape')
  }
}

function refuse(why: string): GatepassError {
  return new GatepassError('config_invalid', { detail: `The Postgres URL ${why}.` })
}
