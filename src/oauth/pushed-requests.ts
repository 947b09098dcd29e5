import type { Clock } from '../core/clock.ts'
import { GatepassError } from '../core/errors.ts'
import { NetworkLimits } from '../core/networks.ts'
import { digestText, randomId } from '../core/secrets.ts'
import type { SessionStore } from '../stores/ports.ts'
import type { Form } from './form.ts'

/** How long a pushed request waits for its browser. */
const pushedLifetimeSeconds = 90
/** Most requests of public clients that one replica keeps. */
const maxPublic = { all: 10_000, narrow: 1_000, wide: 5_000 }
const prefix = 'urn:ietf:params:oauth:request_uri:gpp_'
const requestUriPattern = /^urn:ietf:params:oauth:request_uri:(gpp_[\w-]{44})$/

export interface PushedRequestsOptions {
  readonly store: Pick<SessionStore, 'putOneTime' | 'takeOneTime'>
  readonly clock: Clock
}

/** RFC 9126 §2.2. */
export interface PushedResponse {
  readonly request_uri: string
  readonly expires_in: number
}

/** Stores pushed authorization requests (RFC 9126) until a browser sends their `request_uri`. */
export class PushedRequests {
  readonly #options: PushedRequestsOptions
  /** Limits the requests of public clients that are kept, as anybody can push them. */
  readonly #publicLimits = new NetworkLimits(maxPublic)

  constructor(options: PushedRequestsOptions) {
    this.#options = options
  }

  /**
   * @param parameters of an acceptable request, without the credentials of the client
   * @param publicAddress the address of a public client
   * @throws `overloaded`, `store_unavailable`
   */
  async push(parameters: Form, publicAddress: string | null): Promise<PushedResponse> {
    const { store, clock } = this.#options
    const release = publicAddress === null ? null : this.#admit(publicAddress)
    const requestUri = `${prefix}${randomId()}${randomId()}`
    const lifetimeMs = pushedLifetimeSeconds * 1000
    try {
      const payload = JSON.stringify(parameters)
      await store.putOneTime(idOf(requestUri), payload, clock.nowMs() + lifetimeMs)
    } catch (error) {
      release?.()
      throw error
    }
    if (release !== null) setTimeout(release, lifetimeMs).unref()
    return { request_uri: requestUri, expires_in: pushedLifetimeSeconds }
  }

  /**
   * Takes a request for one browser. The same browser may load it again (RFC 9126 §4).
   *
   * @returns the parameters, and an id of the request that is not a secret
   * @throws `request_uri_invalid` if the request is unknown or expired, or belongs to another
   *   client or another browser
   */
  async take(
    requestUri: string,
    clientId: string | undefined,
    browserId: string,
  ): Promise<{ readonly parameters: Form; readonly pushedId: string }> {
    if (!requestUriPattern.test(requestUri)) throw new GatepassError('request_uri_invalid')
    const { store, clock } = this.#options
    const pushedId = idOf(requestUri)
    const use = await store.takeOneTime(pushedId, digestText(browserId), clock.nowMs())
    if (use.state !== 'first') throw new GatepassError('request_uri_invalid')
    const parameters = JSON.parse(use.payload) as Form
    if (parameters.client_id !== clientId) throw new GatepassError('request_uri_invalid')
    return { parameters, pushedId }
  }

  /** @throws `overloaded` if too many requests are kept for the network of this address */
  #admit(address: string): () => void {
    const release = this.#publicLimits.admit(address)
    if (release !== null) return release
    throw new GatepassError('overloaded', { retryAfterSeconds: pushedLifetimeSeconds })
  }
}

/** The store has only a digest, so a reader of the store has no `request_uri`. */
function idOf(requestUri: string): string {
  return `par.${digestText(requestUri)}`
}
