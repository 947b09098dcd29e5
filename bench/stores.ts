import { execFileSync } from 'node:child_process'
import { chownSync, mkdirSync, mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { createClient } from '@redis/client'
import pg from 'pg'
import { freePort } from '../scripts/free-port.ts'
import { postgresPrograms, postgresUser, superuser } from '../test/support/postgres-programs.ts'
import { type Environment, type Server, startProcess, startServer } from './harness/processes.ts'
import type { Bench } from './harness/scenario.ts'

/** A database server with its data in a folder. Started there again, it has the same data. */
export type Store = Pick<Server, 'url' | 'pid' | 'stop'>

/**
 * As docs/stores.md recommends. Redis flushes its append-only file every second. It does not rewrite the
 * file, because it would choose the instant.
 */
const redisSettings = {
  appendonly: 'yes',
  appendfsync: 'everysec',
  'maxmemory-policy': 'noeviction',
  save: '',
  'auto-aof-rewrite-percentage': '0',
}

/** Starts Redis on the core of the load, so that the measured server has its core alone. */
export async function startRedis(cwd: string, bench: Bench, settings: Environment = {}) {
  mkdirSync(cwd, { recursive: true })
  const port = await freePort()
  const url = `redis://127.0.0.1:${port}`
  const options = { ...redisSettings, port: String(port), bind: '127.0.0.1', ...settings }
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, value])
  const command = ['redis-server', ...args]
  const redis = startProcess({ name: 'Redis', command, core: 'load', cwd, isQuiet: true }, bench)
  await redis.ready(() => withRedis(url, (client) => client.sendCommand(['PING'])))
  return { ...redis, url }
}

/** Starts a program that is a server, with its own Redis as the first argument. */
export async function startOnRedis(
  program: string,
  args: readonly string[],
  bench: Bench,
): Promise<Server> {
  const redis = await startRedis(mkdtempSync(join(bench.scratch, 'redis-')), bench)
  const server = await startServer(program, [redis.url, ...args], bench)
  return withStore(server, redis)
}

/** Returns a server that is measured and stopped together with its store. */
export function withStore(server: Server, store: Store): Server {
  const stop = async () => {
    await server.stop()
    await store.stop()
  }
  return { ...server, storePid: store.pid, stop }
}

export async function withRedis<T>(
  url: string,
  work: (redis: ReturnType<typeof createClient>) => Promise<T>,
): Promise<T> {
  // A sentinel knows few commands, so only the command of the caller is sent.
  const redis = createClient({ url, socket: { reconnectStrategy: false }, disableClientInfo: true })
  // The failing command rejects as well.
  redis.on('error', () => {})
  await redis.connect()
  try {
    return await work(redis as ReturnType<typeof createClient>)
  } finally {
    redis.destroy()
  }
}

const role = 'gatepass'

/** Starts Postgres on the core of the load, with an empty database if the folder is new. */
export async function startPostgres(
  cwd: string,
  bench: Bench,
  { isDurable = true, port: fixedPort = 0 } = {},
): Promise<Store> {
  const isNew = mkdirSync(cwd, { recursive: true }) !== undefined
  const user = postgresUser()
  const data = join(cwd, 'data')
  const programs = postgresPrograms()
  if (isNew) {
    if (user !== undefined) chownSync(cwd, user.uid, user.gid)
    const auth = ['--auth=trust', '--encoding=UTF8', '--locale=C', '--no-sync', '-U', superuser]
    execFileSync(join(programs, 'initdb'), ['-D', data, ...auth], { cwd, stdio: 'ignore', ...user })
  }
  const port = fixedPort || (await freePort())
  const options = {
    shared_buffers: '1GB',
    max_wal_size: '4GB',
    port: String(port),
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    fsync: isDurable ? 'on' : 'off',
  }
  const set = Object.entries(options).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const command = [join(programs, 'postgres'), '-D', data, ...set]
  const postgres = startProcess(
    { name: 'Postgres', command, core: 'load', cwd, isQuiet: true, stopSignal: 'SIGINT', user },
    bench,
  )
  const adminUrl = `postgres://${superuser}@127.0.0.1:${port}/${superuser}`
  await postgres.ready(() => queryPostgres(adminUrl, 'SELECT 1'))
  if (isNew) {
    await queryPostgres(adminUrl, `CREATE ROLE ${role} LOGIN PASSWORD '${role}'`)
    await queryPostgres(adminUrl, `CREATE DATABASE ${role} OWNER ${role}`)
  }
  const url = `postgres://${role}:${role}@127.0.0.1:${port}/${role}`
  return { ...postgres, url }
}

export async function queryPostgres(url: string, text: string): Promise<pg.QueryResult> {
  const client = new pg.Client({ connectionString: url, ssl: false })
  client.on('error', () => {})
  await client.connect()
  try {
    return await client.query(text)
  } finally {
    await client.end()
  }
}
