import type { Clock } from '../core/clock.ts'
import { GatepassError } from '../core/errors.ts'
import { digestText } from '../core/secrets.ts'
import type { Audit } from '../issuer/audit.ts'
import {
  type Client,
  type Clients,
  openidScope,
  remainingScope,
  scopeNames,
} from '../issuer/clients.ts'
import type { Sessions } from '../issuer/sessions.ts'
import type { SessionStore } from '../stores/ports.ts'

export interface ConsentsOptions {
  readonly store: Pick<SessionStore, 'putOneTime' | 'findOneTime' | 'deleteOneTime'>
  readonly clients: Pick<Clients, 'find' | 'thirdParties'>
  readonly sessions: Pick<Sessions, 'list' | 'checkClock' | 'revokeOfClient'>
  readonly clock: Clock
  /** How long consent is remembered. */
  readonly keptMs: number
}

/** A consent that is given again is remembered anew once this part of its time has passed. */
const renewedAfter = 0.01

/** The scopes that a user has granted to a client. */
export interface Consent {
  readonly client: Client
  /** `openid` stands for the sign-in itself. */
  readonly scopes: readonly string[]
}

/**
 * Remembers which scopes users have granted to third-party clients. Each grant is one value in the
 * session store, under a digest of user, client and scope, and expires by itself. The configured
 * clients and scopes limit the number of grants and allow listing them.
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
    const scopes = scopesToGrant(scope)
    const granted = await this.#granted(client, sub, scopes)
    return scopes.filter((name) => !granted.includes(name))
  }

  /**
   * Remembers a consent from now on, also one that the user has given before. The second copy of a form
   * changes nothing: the code for the first copy may be redeemed meanwhile, and needs the consent.
   */
  async grant(client: Client, sub: string, scope: string): Promise<void> {
    const { store, clock, keptMs } = this.#options
    const nowMs = clock.nowMs()
    const expiresAtMs = nowMs + keptMs
    const recentMs = expiresAtMs - keptMs * renewedAfter
    for (const name of scopesToGrant(scope)) {
      const id = idOf(client.client_id, sub, name)
      if (Number(await store.findOneTime(id, nowMs)) > recentMs) continue
      // The store would keep the earlier consent, which expires sooner.
      await store.deleteOneTime(id)
      await store.putOneTime(id, String(expiresAtMs), expiresAtMs)
    }
  }

  /**
   * Returns the consents of a user. A client with a session counts too: its session may outlive the
   * consent, and a client may have become one of a third party.
   *
   * @throws `store_unavailable`
   */
  async list(sub: string): Promise<Consent[]> {
    const { clients, sessions } = this.#options
    const live = await sessions.list(sub)
    const consents: Consent[] = []
    for (const client of clients.thirdParties()) {
      const held = live
        .filter(({ clientId }) => clientId === client.client_id)
        .flatMap(({ scope }) => scopesToGrant(remainingScope(client, scope)))
      const all = grantableScopes(client)
      const hasConsent = await this.#hasConsent(client, sub)
      const granted = hasConsent ? await this.#granted(client, sub, all) : []
      const scopes = all.filter((name) => granted.includes(name) || held.includes(name))
      if (scopes.length > 0) consents.push({ client, scopes })
    }
    return consents
  }

  /**
   * Withdraws a consent and ends the user's sessions at the client. The client has to ask again.
   *
   * @throws `consent_not_found` if there is neither a consent nor a session; `clock_skew` or
   *   `store_unavailable`: call it again
   */
  async withdraw(clientId: string, sub: string, audit: Audit): Promise<void> {
    const { store, clients, sessions } = this.#options
    const client = clients.find(clientId)
    if (!client?.third_party) throw new GatepassError('consent_not_found')
    await sessions.checkClock()
    const hadConsent = await this.#hasConsent(client, sub)
    // The consent is withdrawn first: a code that is redeemed meanwhile finds no consent, or its
    // session ends here. `openid` comes last, so that a repetition after a failure finds the consent.
    for (const name of grantableScopes(client).reverse()) {
      await store.deleteOneTime(idOf(clientId, sub, name))
    }
    const count = await sessions.revokeOfClient(sub, clientId, withdrawnReason, audit)
    if (!hadConsent && count === 0) throw new GatepassError('consent_not_found')
    audit('consent.withdrawn', { sub, client_id: clientId, count })
  }

  /** Whether the user has consented to sign in at the client. Every consent includes this. */
  async #hasConsent(client: Client, sub: string): Promise<boolean> {
    return (await this.#granted(client, sub, [openidScope])).length > 0
  }

  async #granted(client: Client, sub: string, scopes: readonly string[]): Promise<string[]> {
    const { store, clock } = this.#options
    const nowMs = clock.nowMs()
    const found = await Promise.all(
      scopes.map((name) => store.findOneTime(idOf(client.client_id, sub, name), nowMs)),
    )
    return scopes.filter((_, index) => found[index] !== null)
  }
}

/** The `reason` in the audit log. */
export const withdrawnReason = 'consent_withdrawn'

/**
 * Returns the scopes that a user grants with a requested scope. Signing in at a client is a grant of its own,
 * `openid`, even without a scope. It comes first.
 */
export function scopesToGrant(scope: string): string[] {
  return [...new Set([openidScope, ...scopeNames(scope)])]
}

/** Returns all scopes that a user can grant to a client. `openid` comes first. */
function grantableScopes({ scopes }: Client): string[] {
  return scopesToGrant(Object.keys(scopes).join(' '))
}

function idOf(clientId: string, sub: string, scope: string): string {
  return `consent.${digestText(JSON.stringify([clientId, sub, scope]))}`
}
