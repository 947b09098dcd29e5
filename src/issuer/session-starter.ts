import type { Account } from '../stores/ports.ts'
import type { Audit } from './audit.ts'
import type { RevocationFeed } from './revocation-feed.ts'
import type { NewSession, Sessions } from './sessions.ts'
import type { TokenMinter, TokenSet } from './token-minter.ts'

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
   * @param audience the `aud` of the access token
   * @throws `token_too_large`, `keys_unavailable`, `store_unavailable`
   */
  async start(
    account: Account,
    request: Omit<NewSession, 'sub'>,
    audience: string | readonly string[],
    audit: Audit,
  ): Promise<TokenSet> {
    const { sessions, minter, revocations } = this.#options
    const session = sessions.prepare({ ...request, sub: account.sub })
    // Another replica may have revoked all sessions a moment ago, and the minter must know that.
    await revocations.refreshNow()
    // The tokens are minted first: a token that cannot be minted must not leave a session behind.
    const tokens = await minter.mint(session, account, audience)
    await sessions.create(session, audit)
    audit('login.ok', { sub: session.sub, sid: session.sid, client_id: session.clientId })
    return tokens
  }
}
