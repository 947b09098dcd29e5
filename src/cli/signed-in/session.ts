import type { Clock } from '../../core/clock.ts'
import { errorCodes, GatepassError, isGatepassError } from '../../core/errors.ts'
import { randomId } from '../../core/secrets.ts'
import type { IssuerClient, LoginParts, Tokens } from './issuer-client.ts'
import type { SignedIn, StateFile } from './state.ts'

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
