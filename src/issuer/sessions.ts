import type { Clock } from '../core/clock.ts'
import { GatepassError } from '../core/errors.ts'
import { randomId } from '../core/secrets.ts'
import type {
  Account,
  RotationPolicy,
  RotationRequest,
  RotationResult,
  Session,
  SessionStore,
} from '../stores/ports.ts'
import { newGeneration } from '../stores/rotation.ts'
import type { Audit } from './audit.ts'
import { signInClientId } from './clients.ts'
import type { RevocationFeed } from './revocation-feed.ts'
import type { SessionTokenContent, TokenMinter, TokenSet } from './token-minter.ts'

/** A login revokes the oldest sessions of a user beyond this number. */
const maxSessionsPerUser = 100

/** How long sessions last. */
export interface SessionPolicy extends RotationPolicy {
  /** Longest lifetime of a session, counted from the login. No refresh extends it. */
  readonly maxMs: number
}

export interface SessionsOptions {
  readonly store: SessionStore
  readonly policy: SessionPolicy
  readonly clock: Clock
  /** This replica's copy of the revocation log, if it serves one to verifiers. */
  readonly revocations?: Pick<RevocationFeed, 'refreshNow'> | undefined
  /** Throws `clock_skew` if the clock is wrong, unless it is behind that of a shared store. */
  readonly checkClock: () => Promise<void>
}

/** The properties of a session that its login determines. */
export interface NewSession
  extends Pick<Session, 'sub' | 'clientId' | 'scope' | 'amr' | 'userAgent' | 'jkt'> {
  /** When the user signed in. Default: now. */
  readonly authTimeMs?: number
}

/**
 * The sessions of all users: how they begin, are refreshed and end.
 *
 * When a sign-out returns, this replica's revocation feed contains it, so this replica notifies the
 * verifiers even if the store becomes unavailable right afterwards.
 */
export class Sessions {
  /**
   * Checks the clock where verifiers would misread the time of a revocation, or a client would drop a session
   * that has not expired.
   */
  readonly checkClock: SessionsOptions['checkClock']
  readonly #store: SessionStore
  readonly #policy: SessionPolicy
  readonly #clock: Clock
  readonly #revocations: SessionsOptions['revocations']

  constructor({ store, policy, clock, revocations, checkClock }: SessionsOptions) {
    this.#store = store
    this.#policy = policy
    this.#clock = clock
    this.#revocations = revocations
    this.checkClock = checkClock
  }

  /** Returns a session that begins now. It exists once `create` has stored it. */
  prepare({ authTimeMs, ...rest }: NewSession): Session {
    const nowMs = this.#clock.nowMs()
    const createdAtMs = authTimeMs ?? nowMs
    const { idleMs, maxMs } = this.#policy
    return {
      ...rest,
      sid: randomId(),
      createdAtMs,
      endsAtMs: createdAtMs + maxMs,
      expiresAtMs: Math.min(nowMs + idleMs, createdAtMs + maxMs),
      ...newGeneration(0, nowMs),
      revokedAtMs: null,
    }
  }

  /**
   * Stores a new session. Revokes sessions of a user who has too many: first those that their client
   * has started again from the same sign-in, then the oldest. The session and its sign-in stay.
   */
  async create(session: Session, audit: Audit): Promise<void> {
    const { sub } = session
    const count = await this.#store.create(session)
    if (count <= maxSessionsPerUser) return
    const isKept = ({ sid, clientId, createdAtMs }: Session) =>
      sid === session.sid || (clientId === signInClientId && createdAtMs === session.createdAtMs)
    const newest = (await this.list(sub)).toSorted(newestFirst)
    const repeated = repeatedSessions(newest)
    const rank = (one: Session) => (isKept(one) ? 0 : repeated.has(one) ? 2 : 1)
    const ordered = newest.toSorted((a, b) => rank(a) - rank(b))
    for (const { sid } of ordered.slice(maxSessionsPerUser)) {
      if (await this.#revoke(sid))
        audit('session.revoked', { sub, sid, reason: 'too_many_sessions' })
    }
  }

  /** Returns the sessions of a user, newest first. */
  list(sub: string): Promise<Session[]> {
    return this.#store.listBySub(sub, this.#clock.nowMs())
  }

  /** Returns a session that is neither revoked nor expired, or null. */
  find(sid: string): Promise<Session | null> {
    return this.#store.find(sid, this.#clock.nowMs())
  }

  /** Presents a refresh token, whose MAC is valid, to the store (invariant 4). */
  rotate(request: Omit<RotationRequest, 'nowMs' | 'policy'>): Promise<RotationResult> {
    const nowMs = this.#clock.nowMs()
    return this.#store.rotate({ ...request, nowMs, policy: this.#policy })
  }

  /**
   * Signs one session out. Signing out a session twice is not an error.
   *
   * @throws `clock_skew`
   */
  async logout(sid: string, audit: Audit): Promise<void> {
    await this.checkClock()
    if (await this.#revoke(sid)) audit('logout', { sid })
    await this.#revocations?.refreshNow()
  }

  /**
   * Signs a user out on every device.
   *
   * @throws `clock_skew`
   */
  async logoutAll(sub: string, audit: Audit): Promise<void> {
    await this.checkClock()
    await this.#revokeAllAudited(sub, 0, (count) => audit('logout.all', { sub, count }))
    await this.#revocations?.refreshNow()
  }

  /**
   * Revokes one session that a user has chosen from the list of the user's own sessions.
   *
   * @throws `session_not_found`, also if the session belongs to another user; `clock_skew`
   */
  async revokeOwn(sub: string, sid: string, audit: Audit): Promise<void> {
    await this.checkClock()
    const session = await this.find(sid)
    if (session?.sub !== sub || !(await this.#revoke(sid))) {
      throw new GatepassError('session_not_found')
    }
    audit('session.revoked', { sub, sid })
    await this.#revocations?.refreshNow()
  }

  /** Revokes the sessions of a user at one client, without checking the clock. Returns how many were live. */
  async revokeOfClient(sub: string, clientId: string, reason: string, audit: Audit) {
    let count = 0
    for (const session of await this.list(sub)) {
      const { sid } = session
      if (session.clientId !== clientId || !(await this.#revoke(sid))) continue
      audit('session.revoked', { sub, sid, reason })
      count++
    }
    await this.#revocations?.refreshNow()
    return count
  }

  /**
   * Revokes all sessions of a user whose account is deleted or disabled. The session that was
   * presented is revoked by its id: a Redis fail-over may have lost it from the list of the user's
   * sessions.
   */
  async revokeAllOfAccount({ sub, sid }: Session, reason: string, audit: Audit): Promise<void> {
    const isRevoked = await this.#revoke(sid)
    await this.#revokeAllAudited(sub, Number(isRevoked), (count) => {
      // Another refresh may have ended the sessions first.
      if (count > 0) audit('session.revoked', { sub, sid, reason, count })
    })
    await this.#revocations?.refreshNow()
  }

  /**
   * Revokes all sessions of a user and returns how many were live.
   *
   * Each session is revoked by itself first. The entry of the user does not revoke a token that another
   * replica has dated later, and data is deleted and clients are notified by the entries of sessions.
   *
   * @param revoked counts the sessions, also those before a failure
   */
  async revokeAll(sub: string, revoked = { count: 0 }): Promise<number> {
    const { revokedKeptMs } = this.#policy
    await this.#revokeListed(sub, revoked)
    // A code may start a session until the sign-in that it comes from has ended.
    await this.#revokeListed(sub, revoked)
    const nowMs = this.#clock.nowMs()
    revoked.count += await this.#store.revokeAll(sub, nowMs, revokedKeptMs)
    // A sign-in may have signed a token of a later second before the store revoked its session.
    const doneAtMs = this.#clock.nowMs()
    if (Math.floor(doneAtMs / 1000) > Math.floor(nowMs / 1000))
      await this.#store.appendRevocation('user', sub, doneAtMs, revokedKeptMs)
    // A code may have started a session that the store did not see.
    await this.#revokeListed(sub, revoked)
    return revoked.count
  }

  /**
   * Revokes all sessions that were created before a time and returns how many were live.
   *
   * A single log entry, written last, revokes every access token signed before it. One entry per
   * session would be too many for verifiers. The clients of newer sessions refresh.
   *
   * @param onRevoked receives the ids of the revoked sessions, a batch at a time
   * @param hasRecipient returns whether a client must be notified of the end of a session. Such a
   *   session needs an entry of its own
   */
  async revokeCreatedBefore(
    beforeMs: number,
    onRevoked: (sids: readonly string[]) => Promise<void>,
    hasRecipient: (sid: string) => Promise<boolean>,
  ): Promise<number> {
    const { revokedKeptMs } = this.#policy
    const nowMs = this.#clock.nowMs()
    let count = 0
    for await (const sids of this.#endCreatedBefore(beforeMs, nowMs, revokedKeptMs)) {
      count += sids.length
      for (const sid of sids) {
        if (await hasRecipient(sid))
          await this.#store.appendRevocation('session', sid, nowMs, revokedKeptMs)
      }
      await onRevoked(sids)
    }
    await this.#store.appendRevocation('all', '', this.#clock.nowMs(), revokedKeptMs)
    return count
  }

  /**
   * A code may start a session, as old as its sign-in, until that sign-in has ended. The second pass ends
   * such sessions.
   */
  async *#endCreatedBefore(...times: Parameters<SessionStore['endCreatedBefore']>) {
    yield* this.#store.endCreatedBefore(...times)
    yield* this.#store.endCreatedBefore(...times)
  }

  /** Revokes a session that must not be used, without checking the clock. */
  async revokeUnchecked(sid: string, reason: string, audit: Audit): Promise<void> {
    if (await this.#revoke(sid)) audit('session.revoked', { sid, reason })
    await this.#revocations?.refreshNow()
  }

  /** Sessions that ended before a failure are audited, because a repeated call does not count them. */
  async #revokeAllAudited(sub: string, before: number, write: (count: number) => void) {
    const revoked = { count: before }
    try {
      await this.revokeAll(sub, revoked)
    } catch (error) {
      if (revoked.count > 0) write(revoked.count)
      throw error
    }
    write(revoked.count)
  }

  async #revokeListed(sub: string, revoked: { count: number }): Promise<void> {
    for (const { sid } of await this.list(sub)) revoked.count += Number(await this.#revoke(sid))
  }

  #revoke(sid: string): Promise<boolean> {
    return this.#store.revoke(sid, this.#clock.nowMs(), this.#policy.revokedKeptMs)
  }
}

/**
 * A sign-in and the sessions that clients start from it are equally old: the sign-in comes first, then the
 * last refresh counts.
 */
function newestFirst(a: Session, b: Session): number {
  const isSignIn = ({ clientId }: Session) => Number(clientId === signInClientId)
  return b.createdAtMs - a.createdAtMs || isSignIn(b) - isSignIn(a) || b.mintedAtMs - a.mintedAtMs
}

/**
 * Returns the sessions that are not the newest of their client and sign-in. A client that renews its
 * tokens by `prompt=none` starts many of them.
 */
function repeatedSessions(newest: readonly Session[]): Set<Session> {
  const seen = new Set<string>()
  const repeated = newest.filter(({ clientId, createdAtMs }) => {
    const id = `${createdAtMs} ${clientId}`
    const isRepeated = seen.has(id)
    seen.add(id)
    return isRepeated
  })
  return new Set(repeated)
}

export interface SessionStarterOptions {
  readonly sessions: Pick<Sessions, 'prepare' | 'create'>
  readonly minter: TokenMinter
  readonly revocations: Pick<RevocationFeed, 'refreshNow'>
}

/** Starts the session of a user who was authenticated, and mints its first tokens. */
export class SessionStarter {
  readonly #options: SessionStarterOptions

  constructor(options: SessionStarterOptions) {
    this.#options = options
  }

  /**
   * The caller writes `login.ok` after its own checks, which may refuse the session.
   *
   * @throws `token_too_large`, `keys_unavailable`, `store_unavailable`
   */
  async start(
    account: Account,
    request: Omit<NewSession, 'sub'>,
    token: Omit<SessionTokenContent, 'account'>,
    audit: Audit,
  ): Promise<{ readonly session: Session; readonly tokens: TokenSet }> {
    const { sessions, minter, revocations } = this.#options
    const session = sessions.prepare({ ...request, sub: account.sub })
    // Another replica may have revoked all sessions a moment ago, and the minter must know that.
    await revocations.refreshNow()
    // The tokens are minted first: a token that cannot be minted must not leave a session behind.
    const minted = await minter.mintForSession(session, { account, ...token })
    const tokens = minter.withRefreshToken(session, minted)
    await sessions.create(session, audit)
    return { session, tokens }
  }
}
