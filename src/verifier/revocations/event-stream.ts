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
