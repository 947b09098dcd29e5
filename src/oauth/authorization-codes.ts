import type { Clock } from '../core/clock.ts'
import { GatepassError } from '../core/errors.ts'
import { digestText, equalTexts, randomId } from '../core/secrets.ts'
import type { Audit } from '../issuer/audit.ts'
import type { Sessions } from '../issuer/sessions.ts'
import type { SessionStore } from '../stores/ports.ts'

/** RFC 6749 §4.1.2 recommends ten minutes at most. A client redeems its code at once. */
const codeLifetimeMs = 60_000
/** How long a used code is remembered, so that a second use ends the session of the first use. */
const usedCodeKeptMs = 600_000
const codePattern = /^gpc_[\w-]{44}$/
/** RFC 7636 §4.1 */
const verifierPattern = /^[\w.~-]{43,128}$/

/** The content of an authorization code: a user's grant to a client. */
export interface AuthorizationGrant {
  readonly clientId: string
  readonly redirectUri: string
  /** PKCE with S256 (RFC 7636 §4.2); there is no code without it. */
  readonly codeChallenge: string
  readonly sub: string
  /** The session of the sign-in. The grant ends with it. */
  readonly signInSid: string
  readonly scope: string
  /** How the user signed in (RFC 8176). */
  readonly amr: readonly string[]
  /** When the user signed in. */
  readonly authTimeMs: number
  /** The `User-Agent` of the sign-in. */
  readonly userAgent: string
  /** For the ID token (OpenID Connect Core §2). */
  readonly nonce?: string | undefined
  /** The requested audience (RFC 8707). */
  readonly resource?: string | undefined
  /** The key that the code is bound to (`dpop_jkt`, RFC 9449 §10). */
  readonly jkt?: string | undefined
}

export interface RedeemRequest {
  readonly code: string
  /** The client that has authenticated. */
  readonly clientId: string
  readonly redirectUri: string | undefined
  readonly codeVerifier: string | undefined
  /** The key of which the client has proven possession (RFC 9449). */
  readonly jkt: string | undefined
}

export interface AuthorizationCodesOptions {
  readonly store: Pick<SessionStore, 'putOneTime' | 'findOneTime' | 'takeOneTime'>
  readonly sessions: Pick<Sessions, 'revokeUnchecked'>
  readonly clock: Clock
}

/** The `reason` in the audit log. */
const reusedCode = 'code_reused'
/** Replaces the session id when a code is taken without a session. */
const noSession = 'refused'

/** Issues authorization codes and redeems each once, over all replicas (RFC 6749 §4.1). */
export class AuthorizationCodes {
  readonly #options: AuthorizationCodesOptions

  constructor(options: AuthorizationCodesOptions) {
    this.#options = options
  }

  /** @throws `store_unavailable` */
  async issue(grant: AuthorizationGrant): Promise<string> {
    const { store, clock } = this.#options
    const code = `gpc_${randomId()}${randomId()}`
    const expiresAtMs = clock.nowMs() + codeLifetimeMs
    const payload = JSON.stringify({ ...grant, expiresAtMs })
    await store.putOneTime(idOf(code), payload, expiresAtMs + usedCodeKeptMs)
    return code
  }

  /**
   * Redeems a code. The session is created first, and the code is taken with its id: a second use
   * at any replica finds the session and ends it. A code with another client, redirect URI, verifier
   * or key has leaked, so it is used up.
   *
   * @param startSession starts the session of a grant, and mints its tokens
   * @throws `grant_invalid`, `store_unavailable`; whatever `startSession` throws
   */
  async redeem<T extends { readonly sessionId: string }>(
    request: RedeemRequest,
    startSession: (grant: AuthorizationGrant) => Promise<T>,
    audit: Audit,
  ): Promise<T> {
    const { code } = request
    if (!codePattern.test(code)) throw invalidCode('it is malformed')
    const grant = await this.#find(code)
    if (grant === null) {
      await this.#take(code, noSession, audit)
      throw invalidCode('it is unknown, or was used')
    }
    const problem = problemOf(grant, request, this.#options.clock.nowMs())
    if (problem !== null) {
      await this.#take(code, noSession, audit)
      throw invalidCode(problem)
    }
    const started = await startSession(grant)
    if (await this.#take(code, started.sessionId, audit)) return started
    await this.#options.sessions.revokeUnchecked(started.sessionId, reusedCode, audit)
    throw invalidCode('it was used at the same time')
  }

  async #find(code: string): Promise<StoredGrant | null> {
    const { store, clock } = this.#options
    const payload = await store.findOneTime(idOf(code), clock.nowMs())
    return payload === null ? null : (JSON.parse(payload) as StoredGrant)
  }

  /** Takes a code, and tells whether this is its first use. Ends the session of an earlier use. */
  async #take(code: string, sid: string, audit: Audit): Promise<boolean> {
    const { store, clock, sessions } = this.#options
    const use = await store.takeOneTime(idOf(code), sid, clock.nowMs())
    if (use.state === 'used' && use.takenBy !== noSession) {
      await sessions.revokeUnchecked(use.takenBy, reusedCode, audit)
    }
    return use.state === 'first'
  }
}

interface StoredGrant extends AuthorizationGrant {
  readonly expiresAtMs: number
}

/** The store has only a digest, so its content cannot be used as a code. */
function idOf(code: string): string {
  return `code.${digestText(code)}`
}

/** Returns why a request may not redeem a code, or null (RFC 6749 §4.1.3, RFC 7636 §4.6, RFC 9449 §10). */
function problemOf(grant: StoredGrant, request: RedeemRequest, nowMs: number): string | null {
  const { clientId, redirectUri, codeVerifier = '', jkt } = request
  if (nowMs >= grant.expiresAtMs) return 'it has expired'
  if (clientId !== grant.clientId) return 'it belongs to another client'
  if (redirectUri !== grant.redirectUri) return 'the redirect_uri is not that of its request'
  const isVerified =
    verifierPattern.test(codeVerifier) &&
    equalTexts(codeChallengeOf(codeVerifier), grant.codeChallenge)
  if (!isVerified) return 'the code_verifier does not match its challenge'
  if (grant.jkt !== undefined && jkt !== grant.jkt) return 'it is bound to another key'
  return null
}

/** @param reason for the log. The client receives the error code only. */
export function invalidCode(reason: string): GatepassError {
  return new GatepassError('grant_invalid', { cause: new Error(`authorization code: ${reason}`) })
}

/** Returns the S256 challenge of a code verifier (RFC 7636 §4.2). */
export function codeChallengeOf(codeVerifier: string): string {
  return digestText(codeVerifier)
}
