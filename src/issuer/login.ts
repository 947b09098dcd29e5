import type { Clock } from '../core/clock.ts'
import { GatepassError, isGatepassError } from '../core/errors.ts'
import type { Account, AccountStore } from '../stores/ports.ts'
import type { Audit } from './audit.ts'
import { type Clients, grantScope, requireGrant, requireKey, sessionKey } from './clients.ts'
import { normalizeLoginName } from './login-name.ts'
import type { LoginThrottle } from './login-throttle.ts'
import type { PasswordHasher } from './passwords/password-hasher.ts'
import type { SessionStarter, Sessions } from './sessions.ts'
import type { TokenMinter, TokenSet } from './token-minter.ts'
import { isActive } from './users.ts'

/** An attempt to sign in with a password. */
export interface PasswordAttempt {
  readonly username: string
  readonly password: string
  readonly userAgent: string
  /** IP address of the client. */
  readonly address: string
  /** The device token of an earlier login on the device. */
  readonly deviceToken?: string | undefined
}

export interface LoginRequest extends PasswordAttempt {
  readonly scope?: string | undefined
  readonly clientId?: string | undefined
  /** The audience of the access token (RFC 8707), one of the client's audiences. */
  readonly resource?: string | undefined
  /** Thumbprint of the key that the client has proven (RFC 9449). */
  readonly jkt?: string | undefined
}

/** The result of a login. */
export interface SignedIn extends TokenSet {
  /** Identifies the device in later attempts. It grants no access. */
  readonly deviceToken: string
}

export interface LoginOptions {
  readonly accounts: AccountStore
  readonly sessions: Pick<Sessions, 'revokeUnchecked'>
  readonly clients: Clients
  readonly throttle: LoginThrottle
  readonly hasher: PasswordHasher
  readonly minter: TokenMinter
  readonly starter: SessionStarter
  readonly clock: Clock
}

/** Signs a user in with a password. */
export class Login {
  readonly #options: LoginOptions

  constructor(options: LoginOptions) {
    this.#options = options
  }

  /**
   * @throws `credentials_invalid` alike for an unknown name, a wrong password and a disabled account;
   *   `too_many_attempts` before the account is read or the password is checked;
   *   `client_unknown`, `grant_not_allowed`, `scope_not_allowed`, `resource_not_allowed`,
   *   `dpop_proof_missing`, `overloaded`, `store_unavailable`
   */
  async signIn(request: LoginRequest, audit: Audit): Promise<SignedIn> {
    const { clients, minter, starter } = this.#options
    const client = clients.get(request.clientId)
    requireGrant(client, 'password')
    const scope = grantScope(client, request.scope)
    const audience = minter.audienceOf(client, request.resource)
    requireKey(client, request.jkt)
    const { account, deviceToken } = await this.authenticate(request, audit)
    const newSession = {
      clientId: client.client_id,
      scope,
      amr: ['pwd'],
      userAgent: request.userAgent,
      jkt: sessionKey(client, request.jkt),
    }
    const token = { audience, jkt: request.jkt }
    const { session, tokens } = await starter.start(account, newSession, token, audit)
    const { sid, sub, clientId } = session
    await this.confirm(sid, account, request.password, audit)
    audit('login.ok', { sub, sid, client_id: clientId })
    return { ...tokens, deviceToken }
  }

  /**
   * Returns the account if the throttle admits the attempt and the password is right. A caller that starts
   * a session must `confirm` it.
   *
   * @returns the account, and the device token by which the device is recognized
   * @throws `credentials_invalid`, `too_many_attempts`, `overloaded`, `store_unavailable`
   */
  async authenticate(
    { username, address, deviceToken, password }: PasswordAttempt,
    audit: Audit,
  ): Promise<{ readonly account: Account; readonly deviceToken: string }> {
    const { throttle } = this.#options
    const name = normalForm(username)
    const { result, exhausted } = await throttle.run(
      { name: name ?? username, address, deviceToken },
      () => this.#check(name, password),
      (result) => 'account' in result,
    )
    if ('account' in result) {
      const { account } = result
      return { account, deviceToken: throttle.devices.remember(deviceToken, account.loginName) }
    }
    audit('login.failed', result)
    const { sub } = result
    for (const { limit, network } of exhausted) {
      audit('login.throttled', { ...(sub && { sub }), ...(network && { network }), reason: limit })
    }
    throw new GatepassError('credentials_invalid')
  }

  /**
   * Confirms a session that was stored after `authenticate`. Somebody who disables an account or sets its
   * password ends the sessions that exist by then, so the account is read again once the session exists.
   *
   * @param account as `authenticate` returned it
   * @throws `credentials_invalid`, after it has ended the session, if the account is disabled or deleted or
   *   has another password; `overloaded`, `store_unavailable`
   */
  async confirm(sid: string, account: Account, password: string, audit: Audit): Promise<void> {
    if (await this.#isStillValid(account, password)) return
    await this.#options.sessions.revokeUnchecked(sid, 'account_disabled_or_changed', audit)
    throw new GatepassError('credentials_invalid')
  }

  /** Returns the account of a name and a password, or the reason for the audit log. */
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
    const { sub, disabled } = account
    if (!(await this.#hasPassword(account, password))) return { sub, reason: 'wrong_password' }
    if (disabled) return { sub, reason: 'account_disabled' }
    return { account: await this.#strengthen(account, password) }
  }

  /** @throws `internal_error`, whose cause names the account, if its hash cannot be parsed */
  async #hasPassword({ sub, passwordHash }: Account, password: string): Promise<boolean> {
    try {
      return await this.#options.hasher.verify(password, passwordHash)
    } catch (error) {
      if (!isGatepassError(error, 'password_hash_invalid')) throw error
      const cause = new Error(`The password hash of the user ${sub} is unusable. ${error.message}`)
      throw new GatepassError('internal_error', { cause })
    }
  }

  async #isStillValid({ sub, passwordHash }: Account, password: string): Promise<boolean> {
    const current = await this.#options.accounts.findBySub(sub)
    if (!isActive(current)) return false
    if (current.passwordHash === passwordHash) return true
    // A concurrent login may have replaced a weak hash of the same password.
    const isRight = await this.#hasPassword(current, password)
    return isRight && this.#isStillValid(current, password)
  }

  /**
   * Replaces a hash that is weaker than the settings require, and returns the account. A failure does not
   * fail the login.
   */
  async #strengthen(account: Account, password: string): Promise<Account> {
    const { accounts, hasher, clock } = this.#options
    const { sub, passwordHash } = account
    if (!hasher.needsRehash(passwordHash, password)) return account
    try {
      const stronger = await hasher.hash(password)
      const isReplaced = await accounts.setPasswordHash(sub, stronger, clock.nowMs(), passwordHash)
      return isReplaced ? { ...account, passwordHash: stronger } : account
    } catch (error) {
      if (!isGatepassError(error, 'overloaded', 'store_unavailable')) throw error
      return account
    }
  }
}

/** Returns the stored form of a login name, or null for a name that no account can have. */
function normalForm(username: string): string | null {
  try {
    return normalizeLoginName(username)
  } catch (error) {
    if (isGatepassError(error, 'login_name_invalid')) return null
    throw error
  }
}
