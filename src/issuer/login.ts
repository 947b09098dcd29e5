import type { Clock } from '../core/clock.ts'
import { GatepassError, isGatepassError } from '../core/errors.ts'
import { randomId } from '../core/secrets.ts'
import type { Account, AccountStore, Session, SessionStore } from '../stores/ports.ts'
import { newGeneration } from '../stores/rotation.ts'
import type { Audit } from './audit.ts'
import { type Client, type Clients, grantScope, requireKey } from './clients.ts'
import { normalizeLoginName } from './login-name.ts'
import type { PasswordHasher } from './passwords/password-hasher.ts'
import type { Sessions } from './sessions.ts'
import type { LoginThrottle } from './throttle/login-throttle.ts'
import type { TokenMinter, TokenSet } from './token-minter.ts'

/** What is kept of a User-Agent header. */
const userAgentLengthMax = 256

export interface LoginRequest {
  readonly username: string
  readonly password: string
  readonly scope?: string | undefined
  readonly clientId?: string | undefined
  readonly userAgent: string
  /** The IP address that the request comes from. */
  readonly address: string
  /** What the device was given when somebody signed in on it before. */
  readonly deviceToken?: string | undefined
  /** The key that the client has shown possession of (RFC 9449); the session is bound to it. */
  readonly jkt?: string | undefined
}

/** What a device holds after a login. */
export interface SignedIn extends TokenSet {
  /** Tells later attempts from here apart from those of strangers; it opens nothing. */
  readonly deviceToken: string
}

export interface LoginOptions {
  readonly accounts: AccountStore
  readonly sessions: SessionStore
  readonly userSessions: Pick<Sessions, 'makeRoom'>
  readonly throttle: LoginThrottle
  readonly hasher: PasswordHasher
  readonly clients: Clients
  readonly minter: TokenMinter
  /** See `IssuerOptions`. */
  readonly refreshRevocations?: (() => Promise<void>) | undefined
  readonly clock: Clock
  readonly sessionIdleMs: number
  readonly sessionMaxMs: number
}

/** Signs a user in with a password. */
export class Login {
  readonly #options: LoginOptions

  constructor(options: LoginOptions) {
    this.#options = options
  }

  /**
   * @throws `credentials_invalid` alike for an unknown name, a wrong password and a disabled account;
   *   `too_many_attempts` before any look at the account or the password;
   *   `client_unknown`, `scope_not_allowed`, `dpop_proof_missing`, `overloaded`, `store_unavailable`
   */
  async signIn(request: LoginRequest, audit: Audit): Promise<SignedIn> {
    const { clients, minter, refreshRevocations, sessions, userSessions, throttle } = this.#options
    const client = clients.get(request.clientId)
    const scope = grantScope(client, request.scope)
    requireKey(client, request.jkt)
    const account = await this.#authenticate(request, audit)
    const session = this.#newSession(account, client, scope, request)
    // All sessions may have been ended a moment ago, and not by this replica: see `TokenMinter`.
    await refreshRevocations?.()
    // Minted first: a token that can't be made must not leave a session behind.
    const tokens = await minter.mint(session, account)
    await userSessions.makeRoom(session.sub, audit)
    await sessions.create(session)
    audit('login.ok', { sub: session.sub, sid: session.sid, client_id: session.clientId })
    const deviceToken = throttle.devices.remember(request.deviceToken, account.loginName)
    return { ...tokens, deviceToken }
  }

  /** The account, if the throttle lets the attempt through and the password is the right one. */
  async #authenticate(request: LoginRequest, audit: Audit): Promise<Account> {
    const { username, address, deviceToken, password } = request
    const { throttle } = this.#options
    const name = normalForm(username)
    const attempter = { name: name ?? username, address, deviceToken }
    const { attempt, outcome } = await throttle.inTurn(attempter, async (attempt) => {
      const outcome = await this.#check(name, password).catch(async (error: unknown) => {
        await settle(attempt.abandoned())
        throw error
      })
      if ('account' in outcome) await settle(attempt.succeeded())
      return { attempt, outcome }
    })
    if ('account' in outcome) return outcome.account
    audit('login.failed', outcome)
    const { sub } = outcome
    for (const { limit, network } of attempt.exhausted) {
      audit('login.throttled', { ...(sub && { sub }), ...(network && { network }), reason: limit })
    }
    throw new GatepassError('credentials_invalid')
  }

  /** The account of a name and a password, or why there is none. */
  async #check(
    name: string | null,
    password: string,
  ): Promise<{ account: Account } | { sub?: string; reason: string }> {
    const { accounts, hasher } = this.#options
    const account = name === null ? null : await accounts.findByLoginName(name)
    if (account === null) {
      await hasher.verifyDecoy(password)
      return { reason: 'unknown_name' }
    }
    const { sub } = account
    if (!(await hasher.verify(password, account.passwordHash))) {
      return { sub, reason: 'wrong_password' }
    }
    // The hash took a while: the account may have been disabled, or its password changed, meanwhile.
    const current = await accounts.findBySub(sub)
    if (current === null || current.disabled || current.passwordHash !== account.passwordHash) {
      return { sub, reason: 'account_disabled_or_changed' }
    }
    if (hasher.needsRehash(current.passwordHash)) await this.#rehash(current, password)
    return { account: current }
  }

  /** Makes an old or imported hash as strong as the setting asks; the login does not hang on it. */
  async #rehash(account: Account, password: string): Promise<void> {
    const { accounts, hasher, clock } = this.#options
    try {
      const stronger = await hasher.hash(password)
      await accounts.setPasswordHash(account.sub, stronger, clock.nowMs(), account.passwordHash)
    } catch (error) {
      if (!isGatepassError(error, 'overloaded', 'store_unavailable')) throw error
    }
  }

  #newSession(account: Account, client: Client, scope: string, request: LoginRequest): Session {
    const { clock, sessionIdleMs, sessionMaxMs } = this.#options
    const { userAgent, jkt = null } = request
    const nowMs = clock.nowMs()
    return {
      sid: randomId(),
      sub: account.sub,
      clientId: client.client_id,
      scope,
      amr: ['pwd'],
      userAgent: userAgent.slice(0, userAgentLengthMax),
      createdAtMs: nowMs,
      endsAtMs: nowMs + sessionMaxMs,
      expiresAtMs: nowMs + Math.min(sessionIdleMs, sessionMaxMs),
      ...newGeneration(0, nowMs),
      revokedAtMs: null,
      jkt,
    }
  }
}

/** The name in the form that accounts are stored under, or null for one that no account can have. */
function normalForm(username: string): string | null {
  try {
    return normalizeLoginName(username)
  } catch (error) {
    if (isGatepassError(error, 'login_name_invalid')) return null
    throw error
  }
}

/** Tells the throttle how an attempt went. Should its store be gone by now, that stands as it is. */
async function settle(told: Promise<void>): Promise<void> {
  await told.catch((error: unknown) => {
    if (!isGatepassError(error, 'store_unavailable')) throw error
  })
}
