import type { Clock } from '../core/clock.ts'
import { GatepassError, isGatepassError } from '../core/errors.ts'
import { randomId } from '../core/secrets.ts'
import type { Account, AccountStore, Session, SessionStore } from '../stores/ports.ts'
import type { Audit } from './audit.ts'
import { type Clients, grantScope } from './clients.ts'
import { normalizeLoginName } from './login-name.ts'
import type { PasswordHasher } from './passwords/hasher.ts'
import type { TokenMinter, TokenSet } from './tokens.ts'

/** What is kept of a User-Agent header. */
const userAgentLengthMax = 256

export interface LoginRequest {
  readonly username: string
  readonly password: string
  readonly scope?: string | undefined
  readonly clientId?: string | undefined
  readonly userAgent: string
}

export interface LoginOptions {
  readonly accounts: AccountStore
  readonly sessions: SessionStore
  readonly hasher: PasswordHasher
  readonly clients: Clients
  readonly minter: TokenMinter
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
   *   `client_unknown`, `scope_not_allowed`, `overloaded`, `store_unavailable`
   */
  async signIn(request: LoginRequest, audit: Audit): Promise<TokenSet> {
    const client = this.#options.clients.get(request.clientId)
    const scope = grantScope(client, request.scope)
    const account = await this.#authenticate(request, audit)
    const session = this.#newSession(account, client.client_id, scope, request.userAgent)
    // Minted first: a token that can't be made must not leave a session behind.
    const tokens = await this.#options.minter.mint(session)
    await this.#options.sessions.create(session)
    audit('login.ok', { sub: session.sub, sid: session.sid, client_id: session.clientId })
    return tokens
  }

  async #authenticate(request: LoginRequest, audit: Audit): Promise<Account> {
    const { accounts, hasher } = this.#options
    const account = await this.#find(request.username)
    if (account === null) {
      await hasher.verifyNothing(request.password)
      audit('login.failed', { reason: 'unknown_name' })
      throw new GatepassError('credentials_invalid')
    }
    if (!(await hasher.verify(request.password, account.passwordHash))) {
      audit('login.failed', { sub: account.sub, reason: 'wrong_password' })
      throw new GatepassError('credentials_invalid')
    }
    // The hash took a while: the account may have been disabled, or its password changed, meanwhile.
    const current = await accounts.findBySub(account.sub)
    if (current === null || current.disabled || current.passwordHash !== account.passwordHash) {
      audit('login.failed', { sub: account.sub, reason: 'account_disabled_or_changed' })
      throw new GatepassError('credentials_invalid')
    }
    if (hasher.needsRehash(current.passwordHash)) await this.#rehash(current, request.password)
    return current
  }

  async #find(username: string): Promise<Account | null> {
    try {
      return await this.#options.accounts.findByLoginName(normalizeLoginName(username))
    } catch (error) {
      // No account can have such a name: it is unknown like any other.
      if (isGatepassError(error, 'login_name_invalid')) return null
      throw error
    }
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

  #newSession(account: Account, clientId: string, scope: string, userAgent: string): Session {
    const { clock, sessionIdleMs, sessionMaxMs } = this.#options
    const nowMs = clock.nowMs()
    return {
      sid: randomId(),
      sub: account.sub,
      clientId,
      scope,
      amr: ['pwd'],
      userAgent: userAgent.slice(0, userAgentLengthMax),
      createdAtMs: nowMs,
      endsAtMs: nowMs + sessionMaxMs,
      expiresAtMs: nowMs + Math.min(sessionIdleMs, sessionMaxMs),
      generation: 0,
      mintedAtMs: nowMs,
      presented: false,
      idempotencyKey: null,
      revokedAtMs: null,
    }
  }
}
