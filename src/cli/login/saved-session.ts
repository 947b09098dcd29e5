import { constants, mkdirSync, type Stats, statSync } from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { z } from 'zod'
import type { Clock } from '../../core/clock.ts'
import { errorCodes, GatepassError, isGatepassError } from '../../core/errors.ts'
import { randomId } from '../../core/secrets.ts'
import { withFileLock } from '../../stores/sqlite/database.ts'
import type { CliContext } from '../context.ts'
import type { IssuerClient, LoginParts, Tokens } from './issuer-client.ts'

/** An access token is replaced when a fifth of its life is left, or so much. */
const marginMs = 30_000
const marginShare = 0.2

/** After these a refresh token never works again. */
const over = [
  'refresh_token_malformed',
  'refresh_token_unknown',
  'refresh_token_expired',
  'refresh_token_revoked',
  'refresh_token_reused',
] as const

export interface SessionParts {
  readonly issuer: string
  readonly client: IssuerClient
  readonly file: StateFile
  readonly clock: Clock
}

/** One sign-in from this machine, shared by all terminals of its user. */
export class DeviceSession {
  readonly #parts: SessionParts

  constructor(parts: SessionParts) {
    this.#parts = parts
  }

  /** Signs in. A session that was here before ends, as nobody could use it any more. */
  async login(parts: LoginParts): Promise<SignedIn> {
    const { file, client } = this.#parts
    return file.locked(async () => {
      const before = await file.read().catch(() => null)
      const state = this.#stateOf(parts.username, await client.login(parts))
      await file.write(state)
      if (before !== null) await client.logout(before.refresh_token).catch(() => {})
      return state
    })
  }

  /** Who is signed in, with the tokens as they are. @throws `not_signed_in` */
  async current(): Promise<SignedIn> {
    const state = await this.#parts.file.read()
    if (state !== null) return state
    const detail = `Nobody is signed in at ${this.#parts.issuer}. Run: gatepass login`
    throw new GatepassError('not_signed_in', { detail })
  }

  /**
   * An access token that is good for a while, refreshed if need be.
   * @throws `not_signed_in`, `issuer_unavailable`, or what the issuer answers
   */
  async accessToken(): Promise<string> {
    const state = await this.current()
    if (this.#isFresh(state)) return state.access_token
    return this.#parts.file.locked(async () => {
      // Another terminal may have been here while this one waited.
      const latest = await this.current()
      return this.#isFresh(latest) ? latest.access_token : this.#refresh(latest)
    })
  }

  /** Ends the session everywhere. If that can't be done the tokens stay, to try again. */
  async logout(): Promise<SignedIn> {
    const { file, client } = this.#parts
    return file.locked(async () => {
      const state = await this.current()
      await client.logout(state.refresh_token).catch((error: unknown) => {
        if (!isGatepassError(error, ...over)) throw error
      })
      await file.remove()
      return state
    })
  }

  /**
   * The key is on the disk before the request leaves, and until its answer is there too: so a refresh
   * that was cut off anywhere is asked for again, however late, and answered the same.
   */
  async #refresh(state: SignedIn): Promise<string> {
    const { file, client, issuer } = this.#parts
    const idempotency_key = state.idempotency_key ?? randomId()
    if (state.idempotency_key === null) await file.write({ ...state, idempotency_key })
    try {
      const tokens = await client.refresh(state.refresh_token, idempotency_key)
      const next = this.#stateOf(state.username, tokens)
      await file.write(next)
      return next.access_token
    } catch (error) {
      // An outage of the issuer is none of those who have a token that is good.
      if (isGatepassError(error, 'issuer_unavailable') && this.#isGood(state)) {
        return state.access_token
      }
      if (!isGatepassError(error, ...over)) throw error
      await file.remove()
      const detail = `${errorCodes[error.code].title} You are signed out of ${issuer}. Run: gatepass login`
      throw new GatepassError(error.code, { detail })
    }
  }

  #isFresh(state: SignedIn): boolean {
    const { obtained_at_ms, expires_at_ms } = state
    const early = Math.min(marginMs, marginShare * (expires_at_ms - obtained_at_ms))
    return this.#isGood(state, early)
  }

  /** Whether its time has not come, nor will in the next milliseconds, by a clock that was not set back. */
  #isGood({ obtained_at_ms, expires_at_ms }: SignedIn, earlyMs = 0): boolean {
    const nowMs = this.#parts.clock.nowMs()
    return nowMs >= obtained_at_ms && nowMs < expires_at_ms - earlyMs
  }

  #stateOf(username: string, tokens: Tokens): SignedIn {
    const nowMs = this.#parts.clock.nowMs()
    return {
      issuer: this.#parts.issuer,
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

const stateSchema = z.object({
  issuer: z.string(),
  username: z.string(),
  session_id: z.string(),
  refresh_token: z.string(),
  access_token: z.string(),
  /** By the clock of this machine, in milliseconds. */
  obtained_at_ms: z.number(),
  expires_at_ms: z.number(),
  /** Of a refresh that was sent and has not been answered yet. */
  idempotency_key: z.string().nullable(),
})

/** Who is signed in from this machine, and by which tokens. */
export type SignedIn = z.infer<typeof stateSchema>

/** A refresh takes a few seconds at most; it has a deadline of 30. */
const lockWaitMs = 40_000
const bytesMax = 64 * 1024
const accessOfOthers = 0o077
const writeOfOthers = 0o022

/** The file that keeps a sign-in at one issuer: of its owner alone, and always replaced whole. */
export class StateFile {
  readonly path: string
  readonly #folder: string

  constructor({ env }: Pick<CliContext, 'env'>, issuer: string) {
    this.#folder = stateFolder(env)
    this.path = join(this.#folder, `${encodeURIComponent(issuer)}.json`)
  }

  /**
   * @returns null if nobody is signed in
   * @throws `config_invalid` for a file that is damaged, of another user, or open to others
   */
  async read(): Promise<SignedIn | null> {
    const text = await readOwn(this.path)
    if (text === null) return null
    try {
      return stateSchema.parse(JSON.parse(text))
    } catch {
      // The reason would quote the file.
      throw refusal(`${this.path} is damaged. Delete it, and sign in again.`)
    }
  }

  /** In one step, and on the disk when it resolves. */
  async write(state: SignedIn): Promise<void> {
    const temporary = `${this.path}.${randomId()}.tmp`
    try {
      const file = await open(temporary, 'wx', 0o600)
      try {
        await file.writeFile(`${JSON.stringify(state, null, 2)}\n`)
        await file.sync()
      } finally {
        await file.close()
      }
      await rename(temporary, this.path)
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => {})
      throw error
    }
  }

  async remove(): Promise<void> {
    await rm(this.path, { force: true })
  }

  /**
   * Keeps the other terminals of this user out while `work` runs.
   * @throws `config_invalid` for a folder of another user, or that others may write to
   */
  async locked<T>(work: () => Promise<T>): Promise<T> {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
    const stats = statSync(this.#folder)
    refuseForeign(this.#folder, stats)
    if ((stats.mode & writeOfOthers) !== 0) {
      throw refusal(`Others may write to ${this.#folder}. Run: chmod 700 '${this.#folder}'`)
    }
    return withFileLock(`${this.path}.lock`, lockWaitMs, work)
  }
}

/** As the XDG Base Directory Specification has it: a relative path there does not count. */
function stateFolder(env: CliContext['env']): string {
  const { XDG_STATE_HOME: given = '', HOME: home = homedir() } = env
  return join(isAbsolute(given) ? given : join(home, '.local', 'state'), 'gatepass')
}

async function readOwn(path: string): Promise<string | null> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((error) => {
    if (error.code === 'ENOENT') return null
    throw error
  })
  if (file === null) return null
  try {
    const stats = await file.stat()
    refuseForeign(path, stats)
    if (!stats.isFile() || (stats.mode & accessOfOthers) !== 0) {
      throw refusal(`Others may read ${path}. Run: chmod 600 '${path}'`)
    }
    const { buffer, bytesRead } = await file.read(Buffer.alloc(bytesMax), 0, bytesMax)
    return buffer.toString('utf8', 0, bytesRead)
  } finally {
    await file.close()
  }
}

/** Another user who owns the file knows its tokens, or has put in tokens of their own choice. */
function refuseForeign(path: string, { uid }: Stats): void {
  // Windows has no owners of this kind.
  if (process.geteuid === undefined || uid === process.geteuid()) return
  throw refusal(
    `${path} belongs to another user. Run gatepass as that user, or delete it and sign in again.`,
  )
}

function refusal(detail: string): GatepassError {
  return new GatepassError('config_invalid', { detail })
}
