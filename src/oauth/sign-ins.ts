import type { Clock } from '../core/clock.ts'
import { isGatepassError } from '../core/errors.ts'
import { DerivedMac, digestText, type Secrets } from '../core/secrets.ts'
import type { Audit } from '../issuer/audit.ts'
import { signInClientId } from '../issuer/clients.ts'
import type { Login, PasswordAttempt } from '../issuer/login.ts'
import type { Sessions } from '../issuer/sessions.ts'
import { isActive } from '../issuer/users.ts'
import type { Account, AccountStore, Session, SessionStore } from '../stores/ports.ts'

/** Maximum number of sign-ins, the last and those before it, that a browser remembers of a user. */
const maxTimes = 100
const tokenPattern = /^gpi_([\w-]{22})\.([\w-]{43})$/

/** A user who has signed in at the issuer, in one browser. */
export interface SignIn {
  readonly sid: string
  readonly account: Account
  /** How the user signed in (RFC 8176). */
  readonly amr: readonly string[]
  readonly authTimeMs: number
}

/** A new sign-in, and the cookies that the browser keeps. */
export interface NewSignIn {
  readonly signIn: SignIn
  /** The value of the cookie: `gpi_<sid>.<mac>`. */
  readonly token: string
  readonly expiresInSeconds: number
  /** Identifies the device in later attempts. It grants no access. */
  readonly deviceToken: string
}

export interface SignInsOptions {
  readonly login: Login
  readonly sessions: Sessions
  readonly accounts: Pick<AccountStore, 'findBySub'>
  readonly store: Pick<SessionStore, 'putOneTime' | 'findOneTime'>
  readonly secrets: Secrets
  readonly clock: Clock
}

/**
 * Remembers the sign-in at the issuer, so that a second application does not ask for the password.
 * A sign-in is an ordinary session, which the user can list and end. The cookie holds no refresh
 * token, so it cannot be exchanged for an access token.
 */
export class SignIns {
  readonly #options: SignInsOptions
  readonly #mac: DerivedMac

  constructor(options: SignInsOptions) {
    this.#options = options
    this.#mac = new DerivedMac(options.secrets, 'gatepass sign-in')
  }

  /**
   * Signs a user in by password.
   *
   * @param previous the current cookie of the browser; its sign-in ends
   * @throws the errors of `Login.authenticate`
   */
  async signIn(
    attempt: PasswordAttempt,
    previous: string | undefined,
    audit: Audit,
  ): Promise<NewSignIn> {
    const { login, sessions, clock } = this.#options
    const { account, deviceToken } = await login.authenticate(attempt, audit)
    const session = sessions.prepare({
      sub: account.sub,
      clientId: signInClientId,
      scope: '',
      amr: ['pwd'],
      userAgent: attempt.userAgent,
      jkt: null,
    })
    await this.#rememberTime(session, previous)
    await sessions.create(session, audit)
    await login.confirm(session.sid, account, attempt.password, audit)
    const { sid, sub, amr, createdAtMs, expiresAtMs } = session
    audit('login.ok', { sub, sid, client_id: signInClientId })
    await this.#endReplaced(previous, audit)
    return {
      signIn: { sid, account, amr, authTimeMs: createdAtMs },
      token: `gpi_${sid}.${this.#mac.of(sid)}`,
      expiresInSeconds: Math.floor((expiresAtMs - clock.nowMs()) / 1000),
      deviceToken,
    }
  }

  /**
   * Returns the sign-in of a cookie; null if the cookie was not set by this issuer, the session has
   * ended, or the account is deleted or disabled.
   *
   * @throws `store_unavailable`
   */
  async find(token: string | undefined): Promise<SignIn | null> {
    const { sessions, accounts } = this.#options
    const sid = this.#sidOf(token)
    const session = sid === null ? null : await sessions.find(sid)
    if (session === null) return null
    const account = await accounts.findBySub(session.sub)
    if (!isActive(account)) return null
    return { sid: session.sid, account, amr: session.amr, authTimeMs: session.createdAtMs }
  }

  /**
   * Returns when the user has signed in: the time of this sign-in, and those of the sign-ins that it
   * has replaced, newest first.
   *
   * @throws `store_unavailable`
   */
  async authTimesMs({ sid, account, authTimeMs }: SignIn): Promise<number[]> {
    // A fail-over of the store may have lost what it remembered.
    return [authTimeMs, ...(await this.#timesOf(sid, account.sub))]
  }

  /**
   * Remembers a sign-in, and those of the same user that it replaces, so that a sign-out also ends the
   * sessions that applications started from them. The form may be sent twice, so the sign-in that it
   * replaces may have ended.
   */
  async #rememberTime({ sid, sub, createdAtMs, expiresAtMs }: Session, previous?: string) {
    const before = this.#sidOf(previous)
    const earlier = before === null ? [] : await this.#timesOf(before, sub)
    const times = JSON.stringify([createdAtMs, ...earlier].slice(0, maxTimes))
    await this.#options.store.putOneTime(timesIdOf(sid, sub), times, expiresAtMs)
  }

  /** Empty for another user. */
  async #timesOf(sid: string, sub: string): Promise<number[]> {
    const { store, clock } = this.#options
    const times = await store.findOneTime(timesIdOf(sid, sub), clock.nowMs())
    return times === null ? [] : JSON.parse(times)
  }

  /** Ends the sign-in that a new sign-in replaces. Its cookie is overwritten in any case. */
  async #endReplaced(previous: string | undefined, audit: Audit): Promise<void> {
    const sid = this.#sidOf(previous)
    if (sid === null) return
    await this.#options.sessions.logout(sid, audit).catch((error: unknown) => {
      if (!isGatepassError(error, 'clock_skew', 'store_unavailable')) throw error
    })
  }

  #sidOf(token = ''): string | null {
    const [, sid, mac] = tokenPattern.exec(token) ?? []
    if (sid === undefined || mac === undefined) return null
    return this.#mac.isValid(sid, mac) ? sid : null
  }
}

function timesIdOf(sid: string, sub: string): string {
  return `sign_in.${digestText(JSON.stringify([sid, sub]))}`
}
