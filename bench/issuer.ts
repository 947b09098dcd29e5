import { execFileSync } from 'node:child_process'
import { argon2Sync, randomBytes } from 'node:crypto'
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import autocannon from 'autocannon'
import { type Environment, type Server, startService } from './harness/processes.ts'
import type { Bench } from './harness/scenario.ts'
import { type Connection, type HttpRequest, share } from './harness/traffic.ts'
import { type Store, startPostgres, startRedis } from './stores.ts'

export type StoreName = 'SQLite' | 'Redis' | 'Postgres'

/** What a hash costs by default, and the least that it may cost: for users who only have to exist. */
export const hashCosts = {
  default: { memory_kib: 19 * 1024, passes: 2, parallelism: 1 },
  least: { memory_kib: 8, passes: 1, parallelism: 1 },
} as const

export interface IssuerSpec {
  readonly name: string
  /** Where sessions are; accounts are in SQLite. */
  readonly store: StoreName
  readonly users: number
  readonly hash: keyof typeof hashCosts
  readonly settings?: Environment
}

export const password = 'correct horse battery staple'
/** How many users sign in at once, where nothing is measured. */
const connectionsOfSignIn = 32

/**
 * An issuer as it runs in production, by its command line, with its log at the default level. Each
 * start is on a fresh copy of a folder, in which the users and the sessions were laid out once by the
 * command line and over HTTP.
 */
export class Issuer {
  readonly #spec: IssuerSpec
  readonly #bench: Bench
  readonly #folder: string
  readonly #template: string
  readonly #env: Environment

  private constructor(spec: IssuerSpec, bench: Bench) {
    const cost = hashCosts[spec.hash]
    this.#spec = spec
    this.#bench = bench
    this.#folder = join(bench.scratch, spec.name)
    this.#template = `${this.#folder}-template`
    this.#env = {
      GATEPASS_SECRET: newSecret(),
      GATEPASS_KEYS_SECRET: newSecret(),
      GATEPASS_ARGON2_MEMORY_KIB: String(cost.memory_kib),
      GATEPASS_ARGON2_PASSES: String(cost.passes),
      GATEPASS_ARGON2_PARALLELISM: String(cost.parallelism),
      ...spec.settings,
    }
  }

  /** @param layOut is called once, with the issuer running, to make what each round is to find */
  static async create(
    spec: IssuerSpec,
    bench: Bench,
    layOut: (url: string) => Promise<void> = async () => {},
  ): Promise<Issuer> {
    const issuer = new Issuer(spec, bench)
    mkdirSync(issuer.#template)
    issuer.#importUsers()
    const server = await issuer.#startIn(issuer.#template)
    try {
      await layOut(server.url)
    } finally {
      await server.stop()
    }
    return issuer
  }

  /** Starts it, and its store, on a fresh copy. */
  async start(): Promise<Server> {
    rmSync(this.#folder, { recursive: true, force: true })
    // With its owners: Postgres runs as another user.
    execFileSync('cp', ['-a', this.#template, this.#folder])
    return this.#startIn(this.#folder)
  }

  async #startIn(cwd: string): Promise<Server> {
    const store = await startStore(this.#spec.store, join(cwd, 'store'), this.#bench)
    try {
      const url = store === null ? {} : { GATEPASS_SESSIONS_URL: store.url }
      const env = { ...this.#env, ...url }
      const server = await startService('issuer', { cwd, env }, this.#bench)
      if (store === null) return server
      const stop = async () => {
        await server.stop()
        await store.stop()
      }
      return { ...server, storePid: store.pid, stop }
    } catch (error) {
      await store?.stop()
      throw error
    }
  }

  #importUsers(): void {
    const passwordHash = hashPassword(this.#spec.hash)
    const lines = Array.from({ length: this.#spec.users }, (_, n) =>
      JSON.stringify({ login_name: userName(n), password_hash: passwordHash }),
    )
    execFileSync(process.execPath, [this.#bench.revision.cli, 'users', 'import', '-'], {
      cwd: this.#template,
      env: { PATH: process.env.PATH, ...this.#env },
      input: lines.join('\n'),
      stdio: 'pipe',
    })
  }
}

async function startStore(name: StoreName, cwd: string, bench: Bench): Promise<Store | null> {
  if (name === 'SQLite') return null
  return name === 'Redis' ? startRedis(cwd, bench) : startPostgres(cwd, bench)
}

export function userName(n: number): string {
  return `user-${n}`
}

/** The requests in which each user signs in. */
export function loginRequests(count: number): HttpRequest[] {
  return Array.from({ length: count }, (_, n) => ({
    method: 'POST',
    path: '/login',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username: userName(n), password, refresh_token_in: 'body' }),
  }))
}

export interface SignedIn {
  readonly access_token: string
  readonly refresh_token: string
}

/** Signs each of these users in once. */
export async function signIn(url: string, users: number): Promise<SignedIn[]> {
  const all: SignedIn[] = []
  const requests = loginRequests(users).map((request) => ({
    ...request,
    onResponse: (status: number, body: string) => {
      if (status === 200) all.push(JSON.parse(body) as SignedIn)
    },
  }))
  const connections = Math.min(connectionsOfSignIn, users)
  let connection = 0
  const setupClient = (own: Connection) =>
    own.setRequests(share(requests, connection++, connections))
  await new Promise<void>((resolve, reject) => {
    autocannon({ url, connections, amount: users, setupClient }, (error: Error | null) =>
      error === null ? resolve() : reject(error),
    )
  })
  if (all.length !== users) throw new Error(`${all.length} of ${users} users could sign in`)
  return all
}

/** The hash of the password in the form of PHC. */
export function hashPassword(cost: keyof typeof hashCosts): string {
  const { memory_kib: memory, passes, parallelism } = hashCosts[cost]
  const nonce = randomBytes(16)
  const parameters = { message: password, nonce, memory, passes, parallelism, tagLength: 32 }
  const hash = argon2Sync('argon2id', parameters)
  const base64 = (bytes: Buffer) => bytes.toString('base64').replaceAll('=', '')
  const header = `$argon2id$v=19$m=${memory},t=${passes},p=${parallelism}`
  return `${header}$${base64(nonce)}$${base64(hash)}`
}

function newSecret(): string {
  return randomBytes(32).toString('base64url')
}
