import type { Clock } from '../../core/clock.ts'
import { chunksOf, contentTypeOf, get, ResponseError, RetryDelay } from '../http-client.ts'

/** Delays between two connections, until the feed sets the first delay (`retry`). */
const retryLimits = { minMs: 250, maxMs: 30_000 }
/** How soon an unknown position is asked for again. Asking costs no request. */
const positionDelayMs = 500

/** Longest line and longest event, in bytes. An event signed with ML-DSA-44 has 5 KB. */
export const maxEventBytes = 16 * 1024

/** A message of a stream of server-sent events. */
export type StreamMessage =
  | { readonly type: 'event'; readonly id: string; readonly name: string; readonly data: string }
  | { readonly type: 'comment' }
  | { readonly type: 'retry'; readonly delayMs: number }

export type EventMessage = Extract<StreamMessage, { type: 'event' }>

/** Parses server-sent events (WHATWG HTML §9.2.6) with LF or CRLF line ends, in bounded memory. */
export class EventStreamParser {
  readonly #decoder = new TextDecoder('utf-8', { fatal: true })
  #line = ''
  #length = 0
  #id = ''
  #name = ''
  #data: string[] = []

  /**
   * Parses the next bytes, and returns the messages that they complete.
   *
   * @throws Error for a line or an event that is too long, and for bytes that are not UTF-8
   */
  parse(chunk: Uint8Array): StreamMessage[] {
    const lines = (this.#line + this.#decoder.decode(chunk, { stream: true })).split('\n')
    this.#line = lines.pop() ?? ''
    const messages: StreamMessage[] = []
    for (const line of lines) {
      const message = this.#parseLine(line.endsWith('\r') ? line.slice(0, -1) : line)
      if (message !== null) messages.push(message)
    }
    checkLength(this.#length + this.#line.length)
    return messages
  }

  #parseLine(line: string): StreamMessage | null {
    if (line === '') return this.#dispatch()
    if (line.startsWith(':')) return { type: 'comment' }
    this.#length += line.length
    checkLength(this.#length)
    const colon = line.indexOf(':')
    const field = colon === -1 ? line : line.slice(0, colon)
    const value = colon === -1 ? '' : line.slice(colon + (line[colon + 1] === ' ' ? 2 : 1))
    if (field === 'data') this.#data.push(value)
    else if (field === 'id') this.#id = value
    else if (field === 'event') this.#name = value
    else if (field === 'retry' && /^[0-9]{1,9}$/.test(value)) {
      return { type: 'retry', delayMs: Number(value) }
    }
    return null
  }

  #dispatch(): StreamMessage | null {
    const hasData = this.#data.length > 0
    const data = this.#data.join('\n')
    const message = { type: 'event', id: this.#id, name: this.#name, data } as const
    this.#length = 0
    this.#id = ''
    this.#name = ''
    this.#data = []
    return hasData ? message : null
  }
}

function checkLength(length: number): void {
  if (length > maxEventBytes) throw new Error(`an event is longer than ${maxEventBytes} bytes`)
}

export interface EventStreamOptions {
  readonly uri: string
  /** A stream without a message for this time is closed. */
  readonly silenceTimeoutMs: number
  readonly clock: Clock
  /** Returns the position to resume from; null while it is unknown. */
  readonly position: () => Promise<string | null>
  /** Handles one event. An error closes the stream. */
  readonly onEvent: (message: EventMessage) => Promise<void>
  /**
   * Called at each heartbeat and after each event: no event is missing. `isReliable` is false for
   * the first call on a stream that follows a silent stream: a proxy may pass the first message and
   * hold back the rest.
   */
  readonly onCurrent: (isReliable: boolean) => void
  readonly onEnd: () => void
}

/** Follows a stream of server-sent events, and reconnects until it is closed. */
export class EventStream {
  readonly #options: EventStreamOptions
  readonly #retryDelay = new RetryDelay(retryLimits)
  readonly #ended: Promise<void>
  /** Aborts the open stream. Deno would collect the signal of an `AbortSignal.any`. */
  #aborter: AbortController | null = null
  #isClosed = false
  #isOpen = false
  /** Whether the last stream fell silent, and the open stream has not proved to work. */
  #isDoubtful = false
  #lastError: Error | null = null
  #endPause: () => void = () => {}

  constructor(options: EventStreamOptions) {
    this.#options = options
    this.#ended = this.#run()
  }

  /** Whether a stream is open that has sent a message. */
  get isOpen(): boolean {
    return this.#isOpen
  }

  /** Why the last stream ended. */
  get lastError(): Error | null {
    return this.#lastError
  }

  /** Ends the pause between two connections. */
  reconnectNow(): void {
    this.#endPause()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#aborter?.abort(new Error('the verifier was closed'))
    this.#endPause()
    await this.#ended
  }

  async #run(): Promise<void> {
    const { position, onEnd } = this.#options
    while (!this.#isClosed) {
      const from = await position()
      if (this.#isClosed) break
      if (from === null) {
        await this.#pause(positionDelayMs)
        continue
      }
      const error = await this.#follow(from)
      this.#lastError = error
      this.#isOpen = false
      onEnd()
      await this.#pause(this.#retryDelay.afterMs(error))
    }
  }

  /** Follows one stream to its end, and returns why it ended. */
  async #follow(position: string): Promise<Error> {
    const { silenceTimeoutMs } = this.#options
    const aborter = new AbortController()
    this.#aborter = aborter
    const timer = setTimeout(() => {
      this.#isDoubtful = true
      aborter.abort(new Error(`nothing was received on the stream for ${silenceTimeoutMs} ms`))
    }, silenceTimeoutMs)
    try {
      const parser = new EventStreamParser()
      const response = await this.#open(position, aborter.signal)
      for await (const chunk of chunksOf(response, aborter.signal)) {
        for (const message of parser.parse(chunk)) {
          await this.#handle(message)
          // Bytes that never complete a message count as silence.
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

  async #open(position: string, signal: AbortSignal): Promise<Response> {
    const { uri, clock } = this.#options
    const headers = {
      accept: 'text/event-stream',
      'cache-control': 'no-store',
      ...(position !== '' && { 'last-event-id': position }),
    }
    const response = await get({ uri, headers, clock, signal })
    if (response.body === null || contentTypeOf(response) !== 'text/event-stream') {
      await response.body?.cancel()
      throw new ResponseError('the answer is not a stream of events')
    }
    return response
  }

  async #handle(message: StreamMessage): Promise<void> {
    const { onEvent, onCurrent } = this.#options
    const isFirst = !this.#isOpen
    if (message.type === 'retry') {
      this.#retryDelay.minMs = message.delayMs
      return
    }
    if (message.type === 'event') await onEvent(message)
    // A feed that closes each stream after one event must not cause reconnects without a delay.
    else this.#retryDelay.reset()
    this.#isOpen = true
    if (!isFirst) this.#isDoubtful = false
    onCurrent(!this.#isDoubtful)
  }

  #pause(ms: number): Promise<void> {
    if (this.#isClosed) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms)
      timer.unref()
      this.#endPause = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}
