import { type Clock, nowSeconds } from '../core/clock.ts'
import { isGatepassError } from '../core/errors.ts'
import type { FeedEntry, RevocationFeed } from '../issuer/revocation-feed.ts'
import type { Sessions } from '../issuer/sessions.ts'
import type { AccessTokenClaims } from '../tokens/access-token.ts'
import { unpresented } from '../verifier/requirements.ts'
import { RevocationList } from '../verifier/revocations/revocation-list.ts'
import type { Verifier } from '../verifier/verifier.ts'

export interface IssuedTokensOptions {
  /** Accepts the issuer's own tokens, whatever their audience. */
  readonly verifier: Verifier
  readonly sessions: Pick<Sessions, 'find'>
  readonly revocations: Pick<RevocationFeed, 'entriesAfter' | 'subscribe' | 'keptMs'>
  readonly clock: Clock
}

/** A list without sessions and users: the store is asked about sessions instead. */
const maxRevocations = 100_000

/** Reads access tokens of this issuer that a client sends without being their holder. */
export class IssuedTokens {
  readonly #options: IssuedTokensOptions
  readonly #revoked = new RevocationList(maxRevocations)

  constructor(options: IssuedTokensOptions) {
    this.#options = options
    const { revocations } = options
    this.#note(revocations.entriesAfter())
    revocations.subscribe((entries) => this.#note(entries))
  }

  /**
   * Returns the claims of a token, or null if no resource server should accept it: it was not
   * issued here, has expired or was revoked, or its session has ended. A token that is bound to a
   * key needs no proof here, because its holder does not send the request.
   *
   * @throws `keys_unavailable`, `store_unavailable`
   */
  async findActive(token: string): Promise<AccessTokenClaims | null> {
    const { verifier, sessions, clock } = this.#options
    try {
      const claims = await verifier.verify(token, { dpop: unpresented })
      const { sid, exp } = claims
      // The clock tolerance of the verifier does not prolong a token: a token in exchange for it
      // would have expired before it was signed.
      if (nowSeconds(clock) >= exp) return null
      // A revoked key is not among the published keys, so its kid needs no check.
      if (this.#revoked.isRevoked(claims, '')) return null
      return sid === undefined || (await sessions.find(sid)) !== null ? claims : null
    } catch (error) {
      if (isGatepassError(error) && error.status < 500) return null
      throw error
    }
  }

  #note(entries: readonly FeedEntry[]): void {
    const { revocations, clock } = this.#options
    this.#revoked.prune(nowSeconds(clock), Math.ceil(revocations.keptMs / 1000))
    for (const { kind, id, atMs } of entries) {
      if (kind !== 'key') this.#revoked.add({ kind, id, at_s: Math.floor(atMs / 1000) })
    }
  }
}
