import { readBody } from '../../browser/issuer-calls.ts'
import type { PlaygroundState, ReplicaKind } from '../api.ts'

/** The URL of the issuer, which serves the page. */
export const issuer = new URL('.', document.baseURI).href.replace(/\/$/, '')

/** Reads a JSON response; null without a body. @throws `AuthClientError` for an error response */
export async function jsonOf<T>(response: Response): Promise<T> {
  return (await readBody(response)) as T
}

async function call<T>(path: string, init?: RequestInit): Promise<T> {
  return jsonOf<T>(await fetch(`${issuer}/playground/${path}`, init))
}

/** The controls of `gatepass dev`. */
export const controls = {
  addReplica: (kind: ReplicaKind) =>
    call<{ name: string }>('replicas', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ kind }),
    }),
  stopReplica: (name: string) =>
    call<void>(`replicas/${encodeURIComponent(name)}`, { method: 'DELETE' }),
  rotateKeys: () => call<{ kid: string }>('keys/rotate', { method: 'POST' }),
}

const pollMs = 1_000
const hiddenPollMs = 5_000
/** An issuer that is stopped keeps its connections, and answers nothing. */
const pollTimeoutMs = 5_000

type Listener = (state: PlaygroundState) => void

/**
 * Polls the state of the playground once per second. A stream would hold one of the six connections that a
 * browser has for all tabs of a site.
 */
export class StateFeed {
  readonly #listeners = new Set<Listener>()
  #last: PlaygroundState | null = null
  #lastEvent = 0
  #timer: ReturnType<typeof setTimeout> | undefined
  #asking: Promise<void> | null = null

  get last(): PlaygroundState | null {
    return this.#last
  }

  onState(listener: Listener): () => void {
    this.#listeners.add(listener)
    if (this.#last) listener({ ...this.#last, events: [] })
    return () => this.#listeners.delete(listener)
  }

  /** Polls now. Never rejects: after a failure the next poll follows. */
  ask(): Promise<void> {
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = null
      clearTimeout(this.#timer)
      this.#timer = setTimeout(() => this.ask(), document.hidden ? hiddenPollMs : pollMs)
    })
    return this.#asking
  }

  /** Resolves with the first state that matches. */
  until(matches: (state: PlaygroundState) => boolean): Promise<PlaygroundState> {
    return new Promise((resolve) => {
      const stop = this.onState((state) => {
        if (!matches(state)) return
        queueMicrotask(() => stop())
        resolve(state)
      })
    })
  }

  async #ask(): Promise<void> {
    try {
      const state = await call<PlaygroundState>(`state?after=${this.#lastEvent}`, {
        signal: AbortSignal.timeout(pollTimeoutMs),
      })
      this.#last = state
      this.#lastEvent = state.events.at(-1)?.id ?? this.#lastEvent
      for (const listener of this.#listeners) listener(state)
      document.documentElement.classList.remove('lost')
    } catch {
      document.documentElement.classList.add('lost')
    }
  }
}
