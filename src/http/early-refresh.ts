import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import type { preParsingHookHandler } from 'fastify'

/** What the shortcut has done about a request that it leaves to the route after all. */
export interface EarlyRefresh {
  /** The body, which it has read; null when there is none. */
  readonly body: Buffer | null
  /** Why the refresh was refused; undefined when there was no refresh yet. */
  readonly refusal?: unknown
}

/** Hands requests over from the shortcut of `/refresh` to its route. */
export class EarlyRefreshes {
  readonly #byRequest = new WeakMap<IncomingMessage, EarlyRefresh>()

  add(request: IncomingMessage, early: EarlyRefresh): void {
    this.#byRequest.set(request, early)
  }

  /**
   * A session is not presented with the same token twice for one request: what came of it stands.
   * @throws the refusal, if there was one
   */
  throwRefusal(request: IncomingMessage): void {
    const early = this.#byRequest.get(request)
    if (early !== undefined && 'refusal' in early) throw early.refusal
  }

  /** Gives the route the body again. */
  readonly preParsing: preParsingHookHandler = (request, _reply, payload, done) => {
    const body = this.#byRequest.get(request.raw)?.body ?? null
    done(null, body === null ? payload : Readable.from([body], { objectMode: false }))
  }
}
