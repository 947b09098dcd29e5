import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { GatepassError } from '../core/errors.ts'

/** Paths of PEM files; '' if not given. Without `ca` the certificate authorities of Node apply. */
export interface TlsFiles {
  readonly ca: string
  readonly cert: string
  readonly key: string
}

export interface ServerAddress {
  readonly host: string
  readonly port: number
}

const loopbackHosts = new Set(['localhost', '127.0.0.1', '::1'])

/** Whether a connection stays on this machine. A Unix socket starts with a slash. */
export function isLocal({ host }: Pick<ServerAddress, 'host'>): boolean {
  return host.startsWith('/') || loopbackHosts.has(host)
}

/** The query parameters of a URL that name TLS files. */
export const tlsParameters: readonly string[] = ['ca', 'cert', 'key']

/**
 * Parses the parts that server URLs have in common.
 *
 * Each problem is `config_invalid`. No detail quotes the URL, which may contain a password.
 */
export class ServerUrlParser {
  readonly #server: string

  /** @param server the name of the server, for messages */
  constructor(server: string) {
    this.#server = server
  }

  invalid(detail: string): GatepassError {
    return new GatepassError('config_invalid', { detail: `A ${this.#server} URL ${detail}.` })
  }

  /** Decodes percent-encoding. */
  decode(text: string): string {
    try {
      return decodeURIComponent(text)
    } catch {
      throw this.invalid('has a percent sign that is not percent-encoded')
    }
  }

  /** Parses `host:port`. Returns null for any other text. */
  address(text: string, defaultPort: number): ServerAddress | null {
    const [, host, port] = /^(\[[0-9A-Fa-f:.]+\]|[^\s:[\]@]+)(?::(\d{1,5}))?$/.exec(text) ?? []
    const number = port === undefined ? defaultPort : Number(port)
    if (host === undefined || number < 1 || number > 65_535) return null
    return { host: host.replace(/^\[|\]$/g, ''), port: number }
  }

  parameters(query: string, known: readonly string[]): URLSearchParams {
    // A plus sign stands for itself, as in the rest of a URL. In a form it would stand for a space.
    const parameters = new URLSearchParams(query.replaceAll('+', '%2B'))
    const names = [...parameters.keys()]
    if (names.some((name) => !known.includes(name)) || new Set(names).size < names.length) {
      const allowed =
        known.length === 0 ? 'no parameter' : `each of ${known.join(', ')} at most once`
      throw this.invalid(`may have ${allowed} behind the question mark`)
    }
    return parameters
  }

  tlsFiles(parameters: URLSearchParams): TlsFiles {
    const [ca = '', cert = '', key = ''] = tlsParameters.map((name) => parameters.get(name) ?? '')
    if ((cert === '') !== (key === '')) throw this.invalid('must name cert and key together')
    return { ca, cert, key }
  }

  /** Reads the files, as options of a TLS client. */
  readTlsFiles({ ca, cert, key }: TlsFiles, cwd: string) {
    const read = (name: string, path: string) =>
      readPem(resolve(cwd, path), name !== 'key', (problem) =>
        this.invalid(`names a file as ${name} that ${problem}`),
      )
    return {
      // Explicit, so that no environment variable turns the check off.
      rejectUnauthorized: true,
      ...(ca !== '' && { ca: read('ca', ca) }),
      ...(cert !== '' && { cert: read('cert', cert), key: read('key', key) }),
    }
  }
}

/**
 * Reads a file in PEM format. Node ignores a file of certificate authorities that has no certificate, such
 * as one in DER format.
 *
 * @param invalid creates the error for a problem
 */
export function readPem(
  path: string,
  needsCertificate: boolean,
  invalid: (problem: string, cause?: unknown) => Error,
): Buffer {
  let pem: Buffer
  try {
    pem = readFileSync(path)
  } catch (error) {
    throw invalid(`cannot be read (${(error as NodeJS.ErrnoException).code})`, error)
  }
  if (needsCertificate && !pem.includes('CERTIFICATE-----')) {
    throw invalid('has no certificate in PEM format')
  }
  return pem
}
