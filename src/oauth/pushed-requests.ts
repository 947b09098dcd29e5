import type { Clock } from '../core/clock.ts'
import { GatepassError } from '../core/errors.ts'
import { NetworkLimits } from '../core/networks.ts'
import { digestText, randomId } from '../core/secrets.ts'
import type { SessionStore } from '../stores/ports.ts'

/** How long a pushed request waits for its browser. */
const pushedLifetimeSeconds = 90
/** Most requests of public clients that one replica keeps. */
const maxPublic = { all: 10_000, narrow: 1_000, wide: 5_000 }
const prefix = 'urn:ietf:params:oauth:request_uri:gpp_'
const requestUriPattern = /^urn:ietf:params:oauth:request_uri:(gpp_[\w-]{44})$/

type RequestParameters = Readonly<Record<string, string>>

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
  readonly #publicLimits = new PublicPushLimits()

  constructor(options: PushedRequestsOptions) {
    this.#options = options
  }

  /**
   * @param parameters of an acceptable request, without the credentials of the client
   * @param publicAddress the address of a public client
   * @throws `overloaded`, `store_unavailable`
   */
  async push(parameters: RequestParameters, publicAddress: string | null): Promise<PushedResponse> {
    const { store, clock } = this.#options
    const nowMs = clock.nowMs()
    const takeBack = publicAddress === null ? null : this.#publicLimits.admit(publicAddress, nowMs)
    const requestUri = `${prefix}${randomId()}${randomId()}`
    const expiresAtMs = nowMs + pushedLifetimeSeconds * 1000
    try {
      await store.putOneTime(idOf(requestUri), JSON.stringify(parameters), expiresAtMs)
    } catch (error) {
      takeBack?.()
      throw error
    }
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
  ): Promise<{ readonly parameters: RequestParameters; readonly pushedId: string }> {
    if (!requestUriPattern.test(requestUri)) throw new GatepassError('request_uri_invalid')
    const { store, clock } = this.#options
    const pushedId = idOf(requestUri)
    const use = await store.takeOneTime(pushedId, digestText(browserId), clock.nowMs())
    if (use.state !== 'first') throw new GatepassError('request_uri_invalid')
    const parameters = JSON.parse(use.payload) as RequestParameters
    if (parameters.client_id !== clientId) throw new GatepassError('request_uri_invalid')
    return { parameters, pushedId }
  }
}

/** The store has only a digest, so a reader of the store has no `request_uri`. */
function idOf(requestUri: string): string {
  return `par.${digestText(requestUri)}`
}

interface KeptRequest {
  readonly pushedAtMs: number
  readonly release: () => void
}

/** Limits the pushed requests of public clients, as anybody can push them. */
class PublicPushLimits {
  readonly #limits = new NetworkLimits(maxPublic)
  /** Oldest first. */
  readonly #kept = new Set<KeptRequest>()

  /**
   * Returns a function that takes the request back, because it was not stored.
   *
   * @throws `overloaded` if too many requests are kept for the network of this address
   */
  admit(address: string, nowMs: number): () => void {
    for (const kept of this.#kept) {
      // A time in the future is from before the clock was set back.
      if (kept.pushedAtMs <= nowMs && nowMs < kept.pushedAtMs + pushedLifetimeSeconds * 1000) break
      this.#remove(kept)
    }
    const release = this.#limits.admit(address)
    if (release === null) {
      throw new GatepassError('overloaded', { retryAfterSeconds: pushedLifetimeSeconds })
    }
    const kept = { pushedAtMs: nowMs, release }
    this.#kept.add(kept)
    return () => this.#remove(kept)
  }

  #remove(kept: KeptRequest): void {
    if (this.#kept.delete(kept)) kept.release()
  }
}
