import type { Clock } from '../../core/clock.ts'
import { askedWaitMs, Backoff, openStream } from '../http-client.ts'

/** What a feed is given between two attempts until it names its own time (`retry`). */
const firstRetryMs = 250
const maxRetryMs = 30_000
/** How soon it is asked again for a position that is not known; that costs nothing. */
const positionWaitMs = 500

type EventMessage = Extract<StreamMessage, { type: 'event' }>

export interface StreamOptions {
  readonly uri: string
  /** A stream from which nothing was heard for so long is given up. */
  readonly silenceMs: number
  readonly clock: Clock
  readonly random: () => number
  /** Where to go on, from memory; null while that is not known. */
  readonly position: () => Promise<string | null>
  /** Takes one event in. What it throws ends this stream. */
  readonly onEvent: (message: EventMessage) => Promise<void>
  /**
   * Called at each sign that nothing is missing: a heartbeat, or an event that was taken in.
   * `isSteady` is false for the first one after a stream that fell silent: a proxy may let that much
   * through, and then no more.
   */
  readonly onCurrent: (isSteady: boolean) => void
  readonly onEnd: () => void
}

/** Follows the stream, over and over, until it is closed. */
export class Stream {
  readonly #options: StreamOptions
  readonly #backoff: Backoff
  readonly #ended: Promise<void>
  /** Of the stream that is open: `AbortSignal.any` would be collected on Deno before it aborts. */
  #aborter: AbortController | null = null
  #isClosed = false
  #isOpen = false
  /** Whether the last one fell silent, and this one has not yet done better. */
  #isDoubtful = false
  #lastError: Error | null = null
  #wake: () => void = () => {}

  constructor(options: StreamOptions) {
    this.#options = options
    this.#backoff = new Backoff(firstRetryMs, maxRetryMs, options.random)
    this.#ended = this.#run()
  }

  /** Whether there is one now that has given a sign. */
  get isOpen(): boolean {
    return this.#isOpen
  }

  /** Why the last one ended. */
  get lastError(): Error | null {
    return this.#lastError
  }

  /** Tries again now, if it waits to. */
  hurry(): void {
    this.#wake()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#aborter?.abort(new Error('the verifier was closed'))
    this.#wake()
    await this.#ended
  }

  async #run(): Promise<void> {
    const { position, onEnd, random } = this.#options
    while (!this.#isClosed) {
      const from = await position()
      if (this.#isClosed) break
      if (from === null) {
        await this.#pause(positionWaitMs)
        continue
      }
      const error = await this.#follow(from)
      this.#lastError = error
      this.#isOpen = false
      onEnd()
      await this.#pause(Math.max(this.#backoff.nextMs(), askedWaitMs(error, random)))
    }
  }

  /** Follows one stream to its end, and returns why it ended. */
  async #follow(from: string): Promise<Error> {
    const { uri, clock, silenceMs } = this.#options
    const aborter = new AbortController()
    this.#aborter = aborter
    const timer = setTimeout(() => {
      this.#isDoubtful = true
      aborter.abort(new Error(`nothing was heard on the stream for ${silenceMs} ms`))
    }, silenceMs)
    try {
      const reader = new EventStreamReader()
      for await (const chunk of await openStream(uri, from, clock, aborter.signal)) {
        for (const message of reader.read(chunk)) {
          await this.#take(message)
          // What comes in drops that never make a whole is silence too.
          if (message.type !== 'retry') timer.refresh()
        }
      }
      return new Error('the stream ended')
    } catch (error) {
      return error instanceof Error ? error : new Error('the stream failed')
    } finally {
      clearTimeout(timer)
      aborter.abort()
    }
  }

  async #take(message: StreamMessage): Promise<void> {
    const { onEvent, onCurrent } = this.#options
    const isFirst = !this.#isOpen
    if (message.type === 'retry') {
      this.#backoff.firstMs = message.afterMs
      return
    }
    if (message.type === 'event') await onEvent(message)
    // A feed that ends each stream after an event still gets its rest.
    else this.#backoff.reset()
    this.#isOpen = true
    if (!isFirst) this.#isDoubtful = false
    onCurrent(!this.#isDoubtful)
  }

  #pause(ms: number): Promise<void> {
    if (this.#isClosed) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms)
      timer.unref()
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}

/** What a stream of server-sent events says. */
export type StreamMessage =
  | { readonly type: 'event'; readonly id: string; readonly name: string; readonly data: string }
  | { readonly type: 'comment' }
  | { readonly type: 'retry'; readonly afterMs: number }

/** An event signed with ML-DSA-44 has 5 KB. */
export const eventBytesMax = 16 * 1024

/**
 * Reads server-sent events (WHATWG HTML §9.2.6), those that end their lines by LF or CRLF. What has
 * no end is given up after `eventBytesMax`, so that no sender takes more memory than that.
 */
export class EventStreamReader {
  readonly #decoder = new TextDecoder('utf-8', { fatal: true })
  #line = ''
  #length = 0
  #id = ''
  #name = ''
  #data: string[] = []

  /**
   * @returns what has become complete
   * @throws Error for a line or an event that is too long, or bytes that are not UTF-8
   */
  read(chunk: Uint8Array): StreamMessage[] {
    const lines = (this.#line + this.#decoder.decode(chunk, { stream: true })).split('\n')
    this.#line = lines.pop() ?? ''
    const messages: StreamMessage[] = []
    for (const line of lines) {
      const message = this.#take(line.endsWith('\r') ? line.slice(0, -1) : line)
      if (message !== null) messages.push(message)
    }
    this.#checkLength(this.#length + this.#line.length)
    return messages
  }

  #take(line: string): StreamMessage | null {
    if (line === '') return this.#dispatch()
    if (line.startsWith(':')) return { type: 'comment' }
    this.#length += line.length
    this.#checkLength(this.#length)
    const colon = line.indexOf(':')
    const field = colon === -1 ? line : line.slice(0, colon)
    const value = colon === -1 ? '' : line.slice(colon + (line[colon + 1] === ' ' ? 2 : 1))
    if (field === 'data') this.#data.push(value)
    else if (field === 'id') this.#id = value
    else if (field === 'event') this.#name = value
    else if (field === 'retry' && /^[0-9]{1,9}$/.test(value)) {
      return { type: 'retry', afterMs: Number(value) }
    }
    return null
  }

  #dispatch(): StreamMessage | null {
    const data = this.#data.join('\n')
    const message = { type: 'event', id: this.#id, name: this.#name, data } as const
    this.#length = 0
    this.#id = ''
    this.#name = ''
    this.#data = []
    return data === '' ? null : message
  }

  #checkLength(length: number): void {
    if (length > eventBytesMax) throw new Error(`an event is longer than ${eventBytesMax} bytes`)
  }
}
