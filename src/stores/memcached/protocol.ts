/** What memcached answers to one command. */
export interface Reply {
  readonly code: ReplyCode
  /** Each flag by its letter, with what follows it. */
  readonly flags: ReadonlyMap<string, string>
  /** The value, of `VA`. */
  readonly data: Buffer | null
  /** What an error says; '' for any other reply. */
  readonly message: string
}

/** `HD` done; `VA` a value; `EN` and `NF` not there; `NS` not stored; `EX` changed; `MN` no-op done. */
export type ReplyCode = (typeof codes)[number] | (typeof errors)[number]

const codes = ['HD', 'VA', 'EN', 'NF', 'NS', 'EX', 'MN', 'STORED'] as const
const errors = ['ERROR', 'CLIENT_ERROR', 'SERVER_ERROR'] as const

const line = new RegExp(`^(${codes.join('|')})(?: (\\d{1,9}))?((?: [A-Za-z][!-~]*)*)$`)
const errorLine = new RegExp(`^(${errors.join('|')})(?: ([ -~]*))?$`)
const lineEnd = '\r\n'
const newline = 0x0a

/** The stream is not what memcached sends; where the next reply begins is unknown from here on. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError'
}

/** A value that is on its way, with its line end. */
interface Body {
  readonly reply: Reply & { readonly data: Buffer }
  readonly end: Buffer
  length: number
}

export interface ReplyLimits {
  readonly lineBytesMax: number
  readonly dataBytesMax: number
}

/** Reads the replies of the meta protocol from chunks of any size. It never holds more than one. */
export class ReplyParser {
  readonly #limits: ReplyLimits
  /** The start of a line whose end has not come. */
  #line = Buffer.alloc(0)
  #body: Body | null = null

  constructor(limits: ReplyLimits) {
    this.#limits = limits
  }

  /**
   * The replies that this chunk completes. A value never shares its memory with the chunk.
   * @throws ProtocolError, after which the parser is of no more use
   */
  push(chunk: Buffer): Reply[] {
    const replies: Reply[] = []
    for (let at = 0; at < chunk.length; ) {
      at =
        this.#body === null
          ? this.#takeLine(chunk, at, replies)
          : this.#takeBody(this.#body, chunk, at, replies)
    }
    return replies
  }

  #takeLine(chunk: Buffer, start: number, replies: Reply[]): number {
    const found = chunk.indexOf(newline, start)
    const end = found === -1 ? chunk.length : found + 1
    if (this.#line.length + end - start > this.#limits.lineBytesMax) {
      throw new ProtocolError('A line of a reply is too long.')
    }
    const rest = chunk.subarray(start, end)
    const whole = this.#line.length === 0 ? rest : Buffer.concat([this.#line, rest])
    // A copy: a few bytes must not keep a whole chunk alive.
    this.#line = found === -1 ? Buffer.from(whole) : Buffer.alloc(0)
    if (found !== -1) this.#read(whole.toString('latin1'), replies)
    return end
  }

  #read(text: string, replies: Reply[]): void {
    if (!text.endsWith(lineEnd)) throw new ProtocolError('A line of a reply has no proper end.')
    const reply = replyOf(text.slice(0, -lineEnd.length), this.#limits.dataBytesMax)
    if (reply.data === null) replies.push(reply)
    else this.#body = { reply: { ...reply, data: reply.data }, end: Buffer.alloc(2), length: 0 }
  }

  #takeBody(body: Body, chunk: Buffer, start: number, replies: Reply[]): number {
    const { data } = body.reply
    let at = start
    if (body.length < data.length) {
      const copied = chunk.copy(data, body.length, at)
      body.length += copied
      at += copied
    }
    if (at === chunk.length) return at
    const copied = chunk.copy(body.end, body.length - data.length, at)
    body.length += copied
    if (body.length === data.length + lineEnd.length) {
      if (String(body.end) !== lineEnd) throw new ProtocolError('A value has no proper end.')
      replies.push(body.reply)
      this.#body = null
    }
    return at + copied
  }
}

function replyOf(text: string, dataBytesMax: number): Reply {
  const [, error, message = ''] = errorLine.exec(text) ?? []
  if (error !== undefined) {
    return { code: error as ReplyCode, flags: new Map(), data: null, message }
  }
  const [, code, size, rest = ''] = line.exec(text) ?? []
  if (code === undefined) throw new ProtocolError('A reply is of no known kind.')
  if ((size !== undefined) !== (code === 'VA')) throw new ProtocolError('A reply has a wrong size.')
  if (Number(size) > dataBytesMax) throw new ProtocolError('A value is too large.')
  const flags = new Map<string, string>()
  for (const flag of rest.split(' ').slice(1)) {
    const [letter = ''] = flag
    if (flags.has(letter)) throw new ProtocolError('A reply has a flag twice.')
    flags.set(letter, flag.slice(1))
  }
  const data = size === undefined ? null : Buffer.alloc(Number(size))
  return { code: code as ReplyCode, flags, data, message: '' }
}
