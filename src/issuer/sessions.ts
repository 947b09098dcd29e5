import type { Clock } from '../core/clock.ts'
import { GatepassError } from '../core/errors.ts'
import type { Session, SessionStore } from '../stores/ports.ts'
import type { Audit } from './audit.ts'

export interface SessionsOptions extends EndingOptions {
  readonly sessions: SessionStore
  readonly clock: Clock
  /** Has this replica's feed of revocations know of all that has ended by now. Never rejects. */
  readonly refreshRevocations?: (() => Promise<void>) | undefined
  /** Throws `clock_skew` while verifiers would not understand when a sign-out happened. */
  readonly checkClock?: (() => void) | undefined
}

/** Sessions that a user may have. Whoever signs in over and over makes none beyond. */
const sessionsMax = 100

/**
 * What a signed-in user may do with the sessions of the account. Who is told that a session has ended can
 * rely on it that this replica tells the verifiers, even if the store is away from then on.
 */
export class Sessions {
  readonly #options: SessionsOptions

  constructor(options: SessionsOptions) {
    this.#options = options
  }

  /** The user's devices, newest first. */
  list(sub: string): Promise<Session[]> {
    return this.#options.sessions.listBySub(sub, this.#options.clock.nowMs())
  }

  isLive(sid: string): Promise<boolean> {
    return this.#options.sessions
      .find(sid, this.#options.clock.nowMs())
      .then((session) => session !== null)
  }

  /** Ends the oldest sessions of a user who has as many as there may be, before there is one more. */
  async makeRoom(sub: string, audit: Audit): Promise<void> {
    for (const { sid } of (await this.list(sub)).slice(sessionsMax - 1)) {
      if (await this.#revoke(sid)) audit('session.ended', { sub, sid, reason: 'too_many_sessions' })
    }
  }

  /**
   * Signs out. Asking again is no error: the session has ended, which is what was asked.
   * @throws `clock_skew`
   */
  async logout(sid: string, audit: Audit): Promise<void> {
    this.#options.checkClock?.()
    if (await this.#revoke(sid)) audit('logout', { sid })
    await this.#options.refreshRevocations?.()
  }

  /** @throws `clock_skew` */
  async logoutAll(sub: string, audit: Audit): Promise<void> {
    this.#options.checkClock?.()
    const count = await revokeAllOf(sub, this.#options)
    audit('logout.all', { sub, count })
    await this.#options.refreshRevocations?.()
  }

  /**
   * Ends one of the user's sessions.
   * @throws `session_not_found`, for another user's session too; `clock_skew`
   */
  async end(sub: string, sid: string, audit: Audit): Promise<void> {
    this.#options.checkClock?.()
    const { sessions, clock } = this.#options
    const session = await sessions.find(sid, clock.nowMs())
    if (session?.sub !== sub || !(await this.#revoke(sid))) {
      throw new GatepassError('session_not_found')
    }
    audit('session.ended', { sub, sid })
    await this.#options.refreshRevocations?.()
  }

  /**
   * Ends all sessions of a user whose account is gone or disabled. The one that showed it ends in any
   * case: a fail-over of Redis may have lost it from the list of the user.
   */
  async endAllOfAccount({ sub, sid }: Session, reason: string, audit: Audit): Promise<void> {
    const isEnded = await this.#revoke(sid)
    const count = Number(isEnded) + (await revokeAllOf(sub, this.#options))
    audit('session.ended', { sub, sid, reason, count })
    await this.#options.refreshRevocations?.()
  }

  async #revoke(sid: string): Promise<boolean> {
    const { sessions, clock, revokedKeptMs, onSessionRevoked } = this.#options
    const isEnded = await sessions.revoke(sid, clock.nowMs(), revokedKeptMs)
    if (isEnded) onSessionRevoked?.(sid)
    return isEnded
  }
}

export interface EndingOptions {
  readonly sessions: Pick<SessionStore, 'listBySub' | 'revoke' | 'revokeAll'>
  readonly clock: Clock
  /** How long an ended session is told from an unknown one, and how long the log has it. */
  readonly revokedKeptMs: number
  /** Where each session has data of its own: told of each that was ended. */
  readonly onSessionRevoked?: ((sid: string) => void) | undefined
}

/**
 * Ends all sessions of a user; returns how many were live.
 *
 * Where sessions have data, each is ended and put into the log by itself first: who ends the data
 * later finds no other trace of them. One that begins meanwhile ends with the rest; it has no data
 * yet.
 */
export async function revokeAllOf(sub: string, options: EndingOptions): Promise<number> {
  const { sessions, clock, revokedKeptMs, onSessionRevoked } = options
  let count = 0
  if (onSessionRevoked !== undefined) {
    for (const { sid } of await sessions.listBySub(sub, clock.nowMs())) {
      if (!(await sessions.revoke(sid, clock.nowMs(), revokedKeptMs))) continue
      onSessionRevoked(sid)
      count += 1
    }
  }
  return count + (await sessions.revokeAll(sub, clock.nowMs(), revokedKeptMs))
}

export interface MassEndingOptions extends Pick<EndingOptions, 'clock' | 'revokedKeptMs'> {
  readonly sessions: Pick<SessionStore, 'endCreatedBefore' | 'revokeEverybody'>
  /** Ends what belongs to a batch of sessions that have ended. */
  readonly onSessionRevoked?: (sids: readonly string[]) => Promise<void>
}

/**
 * Ends all sessions that were created before a time; returns how many were live.
 *
 * One entry of the log ends every access token that was signed until then, also those of newer
 * sessions, whose clients refresh: an entry for each of a million sessions would be too much for
 * issuers and verifiers. It comes last, as a session may be refreshed until its turn comes.
 */
export async function endAllCreatedBefore(
  beforeMs: number,
  { sessions, clock, revokedKeptMs, onSessionRevoked }: MassEndingOptions,
): Promise<number> {
  let count = 0
  for await (const sids of sessions.endCreatedBefore(beforeMs, clock.nowMs(), revokedKeptMs)) {
    count += sids.length
    await onSessionRevoked?.(sids)
  }
  await sessions.revokeEverybody(clock.nowMs(), revokedKeptMs)
  return count
}
