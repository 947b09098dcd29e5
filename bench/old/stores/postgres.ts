import { execFileSync } from 'node:child_process'
import { chownSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { freePort } from '../../../scripts/free-port.ts'
import {
  postgresPrograms,
  postgresUser,
  superuser,
} from '../../../test/support/postgres-programs.ts'
import type { Bench } from '../harness/scenario.ts'
import { type Store, startDaemon } from './daemon.ts'

const role = 'gatepass'

/** As installed, durable, with the memory and the log that a server of sessions is given. */
const settings = { shared_buffers: '1GB', max_wal_size: '4GB' }

export interface PostgresStore extends Store {
  /** Makes another database than that of `url`, and gives its URL. */
  createDatabase(name: string): Promise<string>
}

export async function startPostgres(bench: Bench): Promise<PostgresStore> {
  const cwd = join(bench.scratch, 'postgres')
  const user = postgresUser()
  mkdirSync(cwd)
  if (user !== undefined) chownSync(cwd, user.uid, user.gid)
  const data = join(cwd, 'data')
  const programs = postgresPrograms()
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
