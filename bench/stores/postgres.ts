import { execFileSync } from 'node:child_process'
import { chownSync, existsSync, mkdirSync, readdirSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import pg from 'pg'
import type { Bench } from '../harness/scenario.ts'
import { freePort, type Store, startDaemon, type User } from './daemon.ts'

const superuser = 'postgres'
const role = 'gatepass'

/** As installed, durable, with the memory and the log that a server of sessions is given. */
const settings = { shared_buffers: '1GB', max_wal_size: '4GB' }

export interface PostgresStore extends Store {
  /** Makes another database than that of `url`, and gives its URL. */
  createDatabase(name: string): Promise<string>
}

export async function startPostgres(bench: Bench): Promise<PostgresStore> {
  const cwd = join(bench.scratch, 'postgres')
  const user = runAs()
  mkdirSync(cwd)
  if (user !== undefined) chownSync(cwd, user.uid, user.gid)
  const data = join(cwd, 'data')
  const programs = programsFolder()
  const auth = ['--auth=trust', '--encoding=UTF8', '--locale=C', '-U', superuser]
  execFileSync(join(programs, 'initdb'), ['-D', data, ...auth], { cwd, stdio: 'ignore', ...user })
  const port = await freePort()
  const options = {
    ...settings,
    port: String(port),
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
  }
  const adminUrl = `postgres://${superuser}@127.0.0.1:${port}/${superuser}`
  const set = Object.entries(options).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const pid = await startDaemon(
    {
      command: [join(programs, 'postgres'), '-D', data, ...set],
      cwd,
      ...(user !== undefined && { user }),
      stopSignal: 'SIGINT',
      isReady: () => withPostgres(adminUrl, (client) => client.query('SELECT 1')),
    },
    bench,
  )
  const query = (text: string) => withPostgres(adminUrl, (client) => client.query(text))
  await query(`CREATE ROLE ${role} LOGIN PASSWORD '${role}'`)
  const createDatabase = async (name: string) => {
    await query(`CREATE DATABASE ${name} OWNER ${role}`)
    return `postgres://${role}:${role}@127.0.0.1:${port}/${name}`
  }
  return { url: await createDatabase('first'), createDatabase, pid }
}

export async function withPostgres<T>(
  url: string,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = new pg.Client({ connectionString: url, ssl: false })
  client.on('error', () => {})
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

/** Postgres refuses to run as root: then it runs as the user that its package made. */
function runAs(): User | undefined {
  if (process.getuid?.() !== 0) return undefined
  const idOf = (flag: string) =>
    Number(execFileSync('id', [flag, superuser], { encoding: 'utf8' }).trim())
  return { uid: idOf('-u'), gid: idOf('-g') }
}

/** The folder of the newest Postgres: Debian's are not on the PATH. */
function programsFolder(): string {
  const debian = '/usr/lib/postgresql'
  const versions = existsSync(debian) ? readdirSync(debian) : []
  const folders = versions
    .toSorted((a, b) => Number(b) - Number(a))
    .map((version) => join(debian, version, 'bin'))
  const path = (process.env.PATH ?? '').split(delimiter)
  const found = [...folders, ...path].find((folder) => existsSync(join(folder, 'initdb')))
  if (found === undefined) throw new Error('Postgres is not installed: npm run test:deps')
  return found
}
