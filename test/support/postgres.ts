import { execFileSync } from 'node:child_process'
import { chownSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import type { Test } from 'tap'
import { freePort } from '../../scripts/free-port.ts'
import type { Certificates } from './certificates.ts'
import { startDaemon } from './daemon.ts'
import { postgresPrograms, postgresUser, superuser } from './postgres-programs.ts'
import type { TestProcess } from './processes.ts'
import { createTestFolder } from './test-folder.ts'
import { until } from './until.ts'

/** The owner of the databases: not a superuser, like the user of a service. */
const owner = { user: 'gatepass', password: 'correct-horse' }

interface ServerOptions {
  /** The certificate of the server. With it, the server also accepts TLS connections. */
  readonly tls?: Pick<Certificates, 'cert' | 'key'>
  /** Further server settings, such as `{ max_connections: '20' }`. */
  readonly settings?: Readonly<Record<string, string>>
}

/** One connection of a store. */
interface Activity {
  readonly isBlocked: boolean
}

/** A real Postgres server on its own port. It ends with the test. */
export class PostgresServer {
  readonly port: number
  /** The folder of the Unix socket, over which the superuser needs no password. */
  readonly folder: string
  readonly #t: Test
  readonly #settings: Readonly<Record<string, string>>
  #process: TestProcess | null = null
  #databases = 0

  private constructor(t: Test, folder: string, port: number, settings: Record<string, string>) {
    this.port = port
    this.folder = folder
    this.#t = t
    this.#settings = settings
  }

  static async start(t: Test, { tls, settings = {} }: ServerOptions = {}): Promise<PostgresServer> {
    const folder = createTestFolder(t)
    initdb(folder)
    if (tls !== undefined) own(tls.key)
    const server = new PostgresServer(t, folder, await freePort(), {
      // The data need not survive a power failure.
      fsync: 'off',
      ...(tls && { ssl: 'on', ssl_cert_file: tls.cert, ssl_key_file: tls.key }),
      ...settings,
    })
    await server.up()
    await server.query(`CREATE ROLE ${owner.user} LOGIN PASSWORD '${owner.password}'`)
    return server
  }

  /** Creates a database and returns its URL. */
  async createDatabase(): Promise<string> {
    this.#databases += 1
    const name = `test_${this.#databases}`
    await this.query(`CREATE DATABASE ${name} OWNER ${owner.user}`)
    return `postgres://${owner.user}:${owner.password}@127.0.0.1:${this.port}/${name}`
  }

  /** Runs a statement as superuser. @param url names the database */
  async query(sql: string, url?: string): Promise<Record<string, unknown>[]> {
    const client = await this.connect(url)
    try {
      return (await client.query(sql)).rows
    } finally {
      await client.end()
    }
  }

  /** Opens another connection as superuser. The caller closes it. */
  async connect(url?: string): Promise<pg.Client> {
    const database = url === undefined ? superuser : new URL(url).pathname.slice(1)
    const client = new pg.Client({
      host: this.folder,
      port: this.port,
      user: superuser,
      database,
      ssl: false,
    })
    client.on('error', () => {})
    await client.connect()
    return client
  }

  /** Waits until `count` statements wait for a lock in the database of a URL. */
  async untilBlocked(count: number, url: string): Promise<void> {
    await this.#untilActivity(
      url,
      (all) => all.filter(({ isBlocked }) => isBlocked).length >= count,
    )
  }

  /** Waits until all other connections to the database have ended, so that its statistics are complete. */
  async untilAlone(url: string): Promise<void> {
    await this.#untilActivity(url, (all) => all.length === 0)
  }

  async #untilActivity(url: string, isSo: (others: Activity[]) => boolean): Promise<void> {
    const client = await this.connect(url)
    try {
      await until('the connections are as expected', async () => {
        const { rows } = await client.query<Activity>(
          `SELECT wait_event_type = 'Lock' AS "isBlocked" FROM pg_stat_activity
           WHERE datname = current_database() AND usename <> current_user`,
        )
        return isSo(rows)
      })
    } finally {
      await client.end()
    }
  }

  /** Starts the server, also after `stop` or `kill`, and waits until it accepts connections. */
  async up(): Promise<void> {
    const options = {
      ...this.#settings,
      port: String(this.port),
      listen_addresses: '127.0.0.1',
      unix_socket_directories: this.folder,
    }
    const settings = Object.entries(options).flatMap(([name, value]) => ['-c', `${name}=${value}`])
    this.#process = await startDaemon(this.#t, {
      command: [join(postgresPrograms(), 'postgres'), '-D', dataFolder(this.folder), ...settings],
      cwd: this.folder,
      ready: /ready to accept connections/,
      user: postgresUser(),
    })
    // A killed server would leave shared memory behind.
    this.#t.teardown(() => this.stop('SIGQUIT'))
  }

  /** Stops the server: 'SIGINT' cleanly, 'SIGQUIT' as in a crash. */
  async stop(signal: 'SIGINT' | 'SIGQUIT' = 'SIGINT'): Promise<void> {
    await this.#process?.stop(signal)
  }

  /** Kills the server. Resolves when its last process has ended. */
  async kill(): Promise<void> {
    await this.#process?.stop('SIGKILL')
  }
}

function dataFolder(folder: string): string {
  return join(folder, 'data')
}

function initdb(folder: string): void {
  const data = dataFolder(folder)
  mkdirSync(data, { mode: 0o700 })
  own(folder)
  own(data)
  const auth = ['--auth-local=trust', '--auth-host=scram-sha-256']
  const options = ['--no-sync', '--encoding=UTF8', '--locale=C', '-U', superuser, ...auth]
  execFileSync(join(postgresPrograms(), 'initdb'), ['-D', data, ...options], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'pipe'],
    ...postgresUser(),
  })
}

/** Makes the user of the server the owner of a file or a folder. */
function own(path: string): void {
  const user = postgresUser()
  if (user !== undefined) chownSync(path, user.uid, user.gid)
}
