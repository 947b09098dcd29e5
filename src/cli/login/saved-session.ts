import { constants, type Stats, statSync } from 'node:fs'
import { open, rm } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { isAbsolute, join } from 'node:path'
import * as z from 'zod'
import type { Clock } from '../../core/clock.ts'
import {
  errorCodes,
  GatepassError,
  isGatepassError,
  refreshTokenEndedCodes,
} from '../../core/errors.ts'
import { createFolder, nullIfAbsent, replaceFile, syncFolder } from '../../core/files.ts'
import { randomId } from '../../core/secrets.ts'
import { withFileLock } from '../../stores/sqlite/database.ts'
import type { CliContext } from '../context.ts'
import type { IssuerClient, Tokens } from './issuer-client.ts'

/** `accessToken` refreshes when 30 s or a fifth of the token's lifetime is left. */
const refreshMarginMs = 30_000
const refreshMarginShare = 0.2

/** A slow issuer answers within this time. */
const minRefreshTimeoutMs = 2_000

export interface SavedSessionOptions {
  readonly client: IssuerClient
  readonly file: SessionFile
  readonly clock: Clock
}

/** A session that is saved on this machine and shared by all terminals of the user. */
export class SavedSession {
  readonly #options: SavedSessionOptions

  constructor(options: SavedSessionOptions) {
    this.#options = options
  }

  /** Saves a new session. The session that was saved before ends, because its tokens are overwritten. */
  async save(username: string, tokens: Tokens): Promise<StoredSession> {
    const { file, client } = this.#options
    try {
      return await file.locked(async () => {
        const before = await file.read().catch(() => null)
        const state = this.#stateOf(username, tokens)
        await file.write(state)
        if (before !== null) await client.logout(before.refresh_token).catch(() => {})
        return state
      })
    } catch (error) {
      await client.logout(tokens.refresh_token).catch(() => {})
      throw error
    }
  }

  /** Reads the saved session without refreshing it. @throws `not_signed_in` */
  async current(): Promise<StoredSession> {
    const state = await this.#options.file.read()
    if (state !== null) return state
    const detail = `You are not signed in at ${this.#options.client.issuer}. Run: gatepass login`
    throw new GatepassError('not_signed_in', { detail })
  }

  /**
   * Returns a valid access token, refreshed if it expires soon.
   * @throws `not_signed_in`, `issuer_unavailable`, or the error of the issuer
   */
  async accessToken(): Promise<string> {
    const state = await this.current()
    if (this.#isFresh(state)) return state.access_token
    try {
      return await this.#options.file.locked(async () => {
        // Another terminal may have refreshed while this one waited for the lock.
        const latest = await this.current()
        return this.#isFresh(latest) ? latest.access_token : this.#refresh(latest)
      })
    } catch (error) {
      // An outage of the issuer or of its stores does not matter while the access token is valid.
      const isOutage = isGatepassError(error) && error.status >= 500
      const isUnsafe = isGatepassError(error, 'config_invalid')
      if (isOutage && !isUnsafe && this.#isValid(state)) return state.access_token
      throw error
    }
  }

  /** Ends the session. If the issuer cannot be reached the tokens stay, so that a retry is possible. */
  async logout(): Promise<StoredSession> {
    const { file, client } = this.#options
    return file.locked(async () => {
      const state = await this.current()
      await client.logout(state.refresh_token).catch((error: unknown) => {
        if (!isGatepassError(error, ...refreshTokenEndedCodes)) throw error
      })
      await file.remove()
      return state
    })
  }

  /**
   * The idempotency key is on the disk before the request is sent and until the new tokens are saved. A
   * refresh that was interrupted at any point can be retried and gets the same answer.
   */
  async #refresh(state: StoredSession): Promise<string> {
    const { file, client } = this.#options
    const idempotency_key = state.idempotency_key ?? randomId()
    if (state.idempotency_key === null) await file.write({ ...state, idempotency_key })
    try {
      const timeoutMs = this.#refreshTimeoutMs(state)
      const tokens = await client.refresh(state.refresh_token, idempotency_key, timeoutMs)
      const next = this.#stateOf(state.username, tokens)
      await file.write(next)
      return next.access_token
    } catch (error) {
      if (!isGatepassError(error, ...refreshTokenEndedCodes)) throw error
      await file.remove()
      const detail = `${errorCodes[error.code].title} You are signed out of ${client.issuer}. Run: gatepass login`
      throw new GatepassError(error.code, { detail })
    }
  }

  /** An issuer that does not answer leaves half of the token's time to this terminal and the next. */
  #refreshTimeoutMs(state: StoredSession): number | undefined {
    if (!this.#isValid(state, 2 * minRefreshTimeoutMs)) return undefined
    return Math.floor((state.expires_at_ms - this.#options.clock.nowMs()) / 2)
  }

  #isFresh(state: StoredSession): boolean {
    const { obtained_at_ms, expires_at_ms } = state
    const early = Math.min(refreshMarginMs, refreshMarginShare * (expires_at_ms - obtained_at_ms))
    return this.#isValid(state, early)
  }

  /** Whether the token is valid for `earlyMs` more. A clock that was set back makes it invalid. */
  #isValid({ obtained_at_ms, expires_at_ms }: StoredSession, earlyMs = 0): boolean {
    const nowMs = this.#options.clock.nowMs()
    return nowMs >= obtained_at_ms && nowMs < expires_at_ms - earlyMs
  }

  #stateOf(username: string, tokens: Tokens): StoredSession {
    const { client, clock } = this.#options
    const nowMs = clock.nowMs()
    return {
      issuer: client.issuer,
      username,
      session_id: tokens.session_id,
      refresh_token: tokens.refresh_token,
      access_token: tokens.access_token,
      obtained_at_ms: nowMs,
      expires_at_ms: nowMs + tokens.expires_in * 1000,
      idempotency_key: null,
    }
  }
}

const sessionSchema = z.object({
  issuer: z.string(),
  username: z.string(),
  session_id: z.string(),
  refresh_token: z.string(),
  access_token: z.string(),
  /** Milliseconds by the clock of this machine. */
  obtained_at_ms: z.number(),
  expires_at_ms: z.number(),
  /** The key of a refresh without an answer yet. */
  idempotency_key: z.string().nullable(),
})

/** The content of the session file. */
export type StoredSession = z.infer<typeof sessionSchema>

/** Longer than the timeout of a refresh (30 s). */
const lockTimeoutMs = 40_000
const maxFileBytes = 64 * 1024
const othersMayAccess = 0o077
const othersMayWrite = 0o022

/** The file of a session at one issuer. Only its owner can read it; every write replaces it whole. */
export class SessionFile {
  readonly path: string
  readonly #folder: string

  constructor({ env }: Pick<CliContext, 'env'>, issuer: string) {
    this.#folder = stateFolder(env)
    this.path = join(this.#folder, `${encodeURIComponent(issuer)}.json`)
  }

  /**
   * @returns null without a session
   * @throws `config_invalid` for a file that is damaged, belongs to another user or is readable by others
   */
  async read(): Promise<StoredSession | null> {
    const text = await readOwnFile(this.path)
    if (text === null) return null
    try {
      return sessionSchema.parse(JSON.parse(text))
    } catch {
      // The parser's message would quote the file.
      throw fileError(`${this.path} is damaged. Delete the file and sign in again.`)
    }
  }

  async write(state: StoredSession): Promise<void> {
    await replaceFile(this.path, `${JSON.stringify(state, null, 2)}\n`, 0o600)
    await syncFolder(this.#folder)
  }

  async remove(): Promise<void> {
    await rm(this.path, { force: true })
  }

  /**
   * Runs `work` while no other terminal of this user holds the lock.
   * @throws `config_invalid` for a folder that belongs to another user or is writable by others
   */
  async locked<T>(work: () => Promise<T>): Promise<T> {
    createFolder(this.#folder)
    const stats = statSync(this.#folder)
    requireOwnFile(this.#folder, stats)
    if ((stats.mode & othersMayWrite) !== 0) {
      throw fileError(`Other users may write to ${this.#folder}. Run: chmod 700 '${this.#folder}'`)
    }
    return withFileLock(`${this.path}.lock`, lockTimeoutMs, work)
  }
}

/** The XDG Base Directory Specification: a relative path is ignored. */
function stateFolder(env: CliContext['env']): string {
  const { XDG_STATE_HOME: given = '' } = env
  if (isAbsolute(given)) return join(given, 'gatepass')
  return join(env.HOME || userInfo().homedir, '.local', 'state', 'gatepass')
}

async function readOwnFile(path: string): Promise<string | null> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch(nullIfAbsent)
  if (file === null) return null
  try {
    const stats = await file.stat()
    requireOwnFile(path, stats)
    if (!stats.isFile() || (stats.mode & othersMayAccess) !== 0) {
      throw fileError(`Other users may read ${path}. Run: chmod 600 '${path}'`)
    }
    const { buffer, bytesRead } = await file.read(Buffer.alloc(maxFileBytes), 0, maxFileBytes)
    return buffer.toString('utf8', 0, bytesRead)
  } finally {
    await file.close()
  }
}

/** A file of another user may contain tokens that the other user knows or chose. */
function requireOwnFile(path: string, { uid }: Stats): void {
  // Windows has no user ids.
  if (process.geteuid === undefined || uid === process.geteuid()) return
  throw fileError(
    `${path} belongs to another user. Run gatepass as that user, or delete the file and sign in again.`,
  )
}

function fileError(detail: string): GatepassError {
  return new GatepassError('config_invalid', { detail })
}
