import { writeFileSync } from 'node:fs'
import { connect as connectTcp } from 'node:net'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import type { Test } from 'tap'
import { freePort } from '../../scripts/free-port.ts'
import type { Certificates } from './certificates.ts'
import { connects, startDaemon } from './daemon.ts'
import { createTestFolder } from './test-folder.ts'

/** Real memcached servers. */

export interface MemcachedAccess {
  readonly tls?: Certificates
  /** Whether the server requires a client certificate of the authority of `tls`. */
  readonly wantsCertificate?: boolean
  readonly credentials?: { readonly username: string; readonly password: string }
}

export interface MemcachedServer {
  readonly port: number
  readonly url: string
  kill(): Promise<unknown>
  /** Suspends the server: it accepts connections and responds to nothing. */
  freeze(): void
  thaw(): void
  /** Returns the response to a line of the classic protocol, up to a line that ends with `end`. */
  ask(line: string, end?: string): Promise<string>
  /** Returns a number of `stats`. */
  stat(name: string): Promise<number>
}

interface ServerOptions extends MemcachedAccess {
  readonly port?: number
  /** Options of the command line. */
  readonly options?: readonly string[]
}

export async function startMemcached(
  t: Test,
  server: ServerOptions = {},
): Promise<MemcachedServer> {
  const port = server.port ?? (await freePort())
  const folder = createTestFolder(t)
  // Without -u, memcached refuses to run as root.
  const user = process.getuid?.() === 0 ? ['-u', 'root'] : []
  const command = [
    ...['memcached', '-l', '127.0.0.1', '-p', String(port), '-U', '0', '-t', '2', ...user],
    ...accessOptions(server, folder),
    ...(server.options ?? []),
  ]
  const running = await startDaemon(t, { command, cwd: folder, ready: () => connects(port) })
  const ask: MemcachedServer['ask'] = (line, end = 'END') => askServer(port, server, line, end)
  return {
    port,
    url: urlOf([port], server),
    kill: () => running.stop('SIGKILL'),
    freeze: () => running.freeze(),
    thaw: () => running.thaw(),
    ask,
    stat: async (name) =>
      Number(new RegExp(`^STAT ${name} (\\S+)\r$`, 'm').exec(await ask('stats'))?.[1]),
  }
}

/** Returns the URL of several nodes with the same access. */
export function urlOf(ports: readonly number[], access: MemcachedAccess = {}): string {
  const { tls, credentials } = access
  const scheme = tls === undefined ? 'memcached' : 'memcacheds'
  const userinfo =
    credentials === undefined
      ? ''
      : `${encodeURIComponent(credentials.username)}:${encodeURIComponent(credentials.password)}@`
  const query = tls === undefined ? '' : `?ca=${encodeURIComponent(tls.ca)}`
  return `${scheme}://${userinfo}${ports.map((port) => `127.0.0.1:${port}`).join(',')}${query}`
}

function accessOptions(access: MemcachedAccess, folder: string): string[] {
  const { tls, wantsCertificate, credentials } = access
  const options: string[] = []
  if (tls !== undefined) {
    const files = `ssl_chain_cert=${tls.cert},ssl_key=${tls.key},ssl_ca_cert=${tls.ca}`
    options.push('-Z', '-o', `${files},ssl_verify_mode=${wantsCertificate ? 2 : 0}`)
  }
  if (credentials !== undefined) {
    const file = join(folder, 'users')
    writeFileSync(file, `${credentials.username}:${credentials.password}\n`)
    options.push('-Y', file)
  }
  return options
}

function askServer(
  port: number,
  { tls }: MemcachedAccess,
  line: string,
  end: string,
): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const address = { port, host: '127.0.0.1' }
  const socket =
    tls === undefined ? connectTcp(address) : connectTls({ ...address, rejectUnauthorized: false })
  let text = ''
  socket.on('error', reject).on('data', (chunk) => {
    text += chunk
    if (text.endsWith(`${end}\r\n`)) resolve(text)
  })
  socket.write(`${line}\r\n`)
  return promise.finally(() => socket.destroy())
}
