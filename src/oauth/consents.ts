import type { Clock } from '../core/clock.ts'
import { digest } from '../core/secrets.ts'
import type { Client } from '../issuer/clients.ts'
import type { SessionStore } from '../stores/ports.ts'
import { openidScope } from './authorization-request.ts'

export interface ConsentsOptions {
  readonly store: Pick<SessionStore, 'putOneTime' | 'findOneTime'>
  readonly clock: Clock
  /** How long consent is remembered. */
  readonly keptMs: number
}

/**
 * Remembers which scopes users have granted to clients of third parties.
 *
 * Each consent is a one-time value of the session store, by a digest of user, client and scope, and
 * expires by itself.
 */
export class Consents {
  readonly #options: ConsentsOptions

  constructor(options: ConsentsOptions) {
    this.#options = options
  }

  /**
   * Returns the scopes that the user has not granted to the client. A client of the operator needs no
   * consent.
   */
  async missing(client: Client, sub: string, scope: string): Promise<string[]> {
    if (!client.third_party) return []
    const { store, clock } = this.#options
    const nowMs = clock.nowMs()
    const scopes = scopesToGrant(scope)
    const found = await Promise.all(
      scopes.map((name) => store.findOneTime(idOf(client.client_id, sub, name), nowMs)),
    )
    return scopes.filter((_, index) => found[index] === null)
  }

  async grant(client: Client, sub: string, scope: string): Promise<void> {
    const { store, clock, keptMs } = this.#options
    const expiresAtMs = clock.nowMs() + keptMs
    for (const name of await this.missing(client, sub, scope)) {
      await store.putOneTime(idOf(client.client_id, sub, name), '1', expiresAtMs)
    }
  }
}

/** To sign in at a client is a grant of its own, also without any scope. */
function scopesToGrant(scope: string): string[] {
  return [...new Set([openidScope, ...scope.split(' ').filter((name) => name !== '')])]
}

function idOf(clientId: string, sub: string, scope: string): string {
  return `consent.${digest(JSON.stringify([clientId, sub, scope])).toString('base64url')}`
}
