import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { inTurns } from './harness/http.ts'
import { isInMemory } from './harness/machine.ts'
import { type Environment, runCommand, type Server, startService } from './harness/processes.ts'
import type { Bench } from './harness/scenario.ts'
import type { HttpRequest } from './harness/traffic.ts'
import { type HashName, hashCosts, hashPassword, password } from './passwords.ts'
import { startPostgres, startRedis, withStore } from './stores.ts'

export type StoreName = 'SQLite' | 'Redis' | 'Postgres'

export interface IssuerSpec {
  readonly name: string
  /** The store of sessions. Default: SQLite. Accounts are always in SQLite. */
  readonly store?: StoreName
  readonly users: number
  /** Default: `least`. */
  readonly hash?: HashName
  readonly settings?: Environment
}

export interface RunningIssuer extends Server {
  readonly sessionsUrl: string
}

/** Concurrent sign-ins outside a measurement. */
const maxSignIns = 32

export type Issuer = ReturnType<typeof createIssuer>

/**
 * Describes an issuer as it runs in production: by its command line, with the default log level.
 * @param createData runs once, with the issuer running. Each start has a copy of this data.
 */
export function createIssuer(
  { name, store: storeName = 'SQLite', users, hash = 'least', settings }: IssuerSpec,
  bench: Bench,
  createData: (running: RunningIssuer) => Promise<void> = async () => {},
) {
  if (isInMemory(bench.scratch)) {
    throw new Error('A flush to memory costs nothing: set TMPDIR to a folder on a disk.')
  }
  const template = join(bench.scratch, `${name}-template`)
  const secret = newSecret()
  const env = {
    GATEPASS_SECRET: secret,
    GATEPASS_KEYS_SECRET: newSecret(),
    ...hashSettings(hash),
    ...settings,
  }
  const startIn = async (cwd: string, isDurable = true): Promise<RunningIssuer> => {
    const store = await startStore(storeName, join(cwd, 'store'), isDurable, bench)
    const sessionsUrl = store?.url ?? `sqlite:${join(cwd, '.gatepass/sessions.db')}`
    const own = { ...env, GATEPASS_SESSIONS_URL: sessionsUrl }
    const server = await startService('issuer', { cwd, env: own }, bench)
    return { ...(store === null ? server : withStore(server, store)), sessionsUrl }
  }
  let hasData = false
  const prepare = async () => {
    if (hasData) return
    hasData = true
    mkdirSync(template)
    await importUsers({ count: users, hash, cwd: template, env }, bench)
    // A flush for each commit would take minutes.
    const server = await startIn(template, false)
    await createData(server)
    await server.stop()
  }
  return {
    secret,
    /** Starts the issuer on the original data, because a copy may take too long. */
    async startInPlace() {
      await prepare()
      return startIn(template)
    },
    /** Starts the issuer and its store on a fresh copy of its data. The first start creates the data. */
    async start() {
      await prepare()
      const copy = join(bench.scratch, name)
      rmSync(copy, { recursive: true, force: true })
      // Keeps the owners, because Postgres runs as another user.
      execFileSync('cp', ['-a', template, copy])
      return startIn(copy)
    },
  }
}

async function startStore(name: StoreName, cwd: string, isDurable: boolean, bench: Bench) {
  if (name === 'SQLite') return null
  if (name === 'Redis') return startRedis(cwd, bench)
  return startPostgres(cwd, bench, { isDurable })
}

export function hashSettings(hash: HashName): Environment {
  const { memory_kib, passes, parallelism } = hashCosts[hash]
  return {
    GATEPASS_ARGON2_MEMORY_KIB: String(memory_kib),
    GATEPASS_ARGON2_PASSES: String(passes),
    GATEPASS_ARGON2_PARALLELISM: String(parallelism),
  }
}

/** Imports users with one password by the command line. The `sub` of a user is the name. */
export async function importUsers(
  { count, hash, cwd, env }: { count: number; hash: HashName; cwd: string; env: Environment },
  bench: Bench,
): Promise<void> {
  const password_hash = hashPassword(hash)
  const lines = Array.from({ length: count }, (_, n) =>
    JSON.stringify({ login_name: userName(n), sub: userName(n), password_hash }),
  )
  const file = join(cwd, 'users.jsonl')
  writeFileSync(file, lines.join('\n'))
  await runCommand(['users', 'import', file], { cwd, env }, bench)
  rmSync(file)
}

export function userName(n: number): string {
  return `user-${n}`
}

export function loginRequests(count: number): HttpRequest[] {
  return Array.from({ length: count }, (_, n) => ({
    method: 'POST',
    path: '/login',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username: userName(n), password, refresh_token_in: 'body' }),
  }))
}

/** Signs a number of users in. @returns their refresh tokens */
export async function signIn(url: string, users: number): Promise<string[]> {
  const tokens: string[] = []
  await inTurns(loginRequests(users), maxSignIns, async ({ path, ...request }) => {
    const response = await fetch(`${url}${path}`, request)
    if (!response.ok) throw new Error(`A sign-in was answered ${response.status}.`)
    tokens.push(((await response.json()) as { refresh_token: string }).refresh_token)
  })
  return tokens
}

export function newSecret(): string {
  return randomBytes(32).toString('base64url')
}
