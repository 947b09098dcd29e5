import type { MemcachedCredentials } from './url.ts'

// Commands of the meta protocol.

export interface Command {
  /** The first line, without the opaque token. */
  readonly head: string
  readonly data?: Buffer
  /** The reply codes that belong to this command. */
  readonly replyCodes: readonly ReplyCode[]
  /** A command of the handshake: it is answered before the next one is sent, and needs no token. */
  readonly isHandshake?: true
}

/** A Unix time in seconds; or a period from now in seconds, if under 30 days. */
export type ExpirySeconds = number

/** The precondition of a change: an item with this CAS number, no item, or anything. */
export type Precondition = { readonly cas: string } | 'absent' | 'any'

export interface Item {
  readonly data: Buffer
  readonly expiry: ExpirySeconds
  /** Client flags: 32 bits that `peek` returns. */
  readonly flags?: number
}

/** Gets the value and the CAS number (`c`), which changes with each store. */
export function get(key: string): Command {
  return { head: `mg ${key} v c`, replyCodes: ['VA', 'EN'] }
}

/** Gets the client flags and the CAS number, without the value. */
export function peek(key: string): Command {
  return { head: `mg ${key} f c`, replyCodes: ['HD', 'EN'] }
}

/** Sets the expiry of an item, if there is one. The CAS number stays. */
export function touch(key: string, expiry: ExpirySeconds): Command {
  return { head: `mg ${key} T${expiry}`, replyCodes: ['HD', 'EN'] }
}

export function put(key: string, { data, expiry, flags = 0 }: Item, on: Precondition): Command {
  return {
    head: `ms ${key} ${data.length} T${expiry} F${flags}${conditionOf(on)}`,
    data,
    replyCodes: ['HD', 'NS', 'EX', 'NF'],
  }
}

export function remove(key: string, on: Precondition = 'any'): Command {
  const condition = typeof on === 'string' ? '' : ` C${on.cas}`
  return { head: `md ${key}${condition}`, replyCodes: ['HD', 'NF', 'EX'] }
}

function conditionOf(on: Precondition): string {
  if (on === 'any') return ''
  return on === 'absent' ? ' ME' : ` C${on.cas}`
}

/**
 * Gets an item that nobody stores. A server that requires a password refuses it. A server before 1.6.18
 * replies without the token, or with an error.
 */
export const probe: Command = {
  head: 'mg gp:none Oprobe',
  replyCodes: ['EN', 'ERROR', 'CLIENT_ERROR'],
  isHandshake: true,
}

/** Has the form of a `set`. An item that a server stores from it has already expired. */
export function authenticate({ username, password }: MemcachedCredentials): Command {
  const data = Buffer.from(`${username} ${password}`)
  return {
    head: `set auth 0 -1 ${data.length}`,
    data,
    replyCodes: ['STORED', 'CLIENT_ERROR'],
    isHandshake: true,
  }
}

// Replies.

/** The reply to one command. */
export interface Reply {
  readonly code: ReplyCode
  /** The text of each flag, by its letter. */
  readonly flags: ReadonlyMap<string, string>
  /** The value of a `VA`. */
  readonly data: Buffer | null
  /** The text of an error; '' for any other reply. */
  readonly message: string
}

/** `HD` done, `VA` value, `EN` and `NF` absent, `NS` not stored, `EX` changed. */
export type ReplyCode = (typeof codes)[number] | (typeof errors)[number]

const codes = ['HD', 'VA', 'EN', 'NF', 'NS', 'EX', 'STORED'] as const
const errors = ['ERROR', 'CLIENT_ERROR', 'SERVER_ERROR'] as const

const line = new RegExp(`^(${codes.join('|')})(?: (\\d{1,9}))?((?: [A-Za-z][!-~]*)*)$`)
const errorLine = new RegExp(`^(${errors.join('|')})(?: ([ -~]*))?$`)
const lineEnd = '\r\n'
const newline = 0x0a

/** The stream violates the protocol, so the start of the next reply is unknown. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError'
}

/** A value and its line end, read in part. */
interface Body {
  readonly reply: Reply & { readonly data: Buffer }
  readonly end: Buffer
  length: number
}

/** The longest line of memcached is an error of under a hundred bytes. */
const maxLineBytes = 2_048
/** The largest item of a memcached with its default settings (`-I`). */
const maxDataBytes = 1_048_576

/** Parses replies from chunks of any size. Buffers one reply at most. */
export class ReplyParser {
  /** The start of an incomplete line. */
  #line = Buffer.alloc(0)
  #body: Body | null = null

  /**
   * Returns the replies that a chunk completes. A value does not share memory with the chunk.
   * @throws ProtocolError, after which the parser must not be used
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
    if (this.#line.length + end - start > maxLineBytes) {
      throw new ProtocolError('A reply line is too long.')
    }
    const rest = chunk.subarray(start, end)
    const whole = this.#line.length === 0 ? rest : Buffer.concat([this.#line, rest])
    // Copied, so that a few bytes do not keep a whole chunk in memory.
    this.#line = found === -1 ? Buffer.from(whole) : Buffer.alloc(0)
    if (found !== -1) this.#parseLine(whole.toString('latin1'), replies)
    return end
  }

  #parseLine(text: string, replies: Reply[]): void {
    if (!text.endsWith(lineEnd)) throw new ProtocolError('A reply line has a wrong end.')
    const reply = parseReply(text.slice(0, -lineEnd.length))
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
      if (String(body.end) !== lineEnd) throw new ProtocolError('A value has a wrong end.')
      replies.push(body.reply)
      this.#body = null
    }
    return at + copied
  }
}

function parseReply(text: string): Reply {
  const [, error, message = ''] = errorLine.exec(text) ?? []
  if (error !== undefined) {
    return { code: error as ReplyCode, flags: new Map(), data: null, message }
  }
  const [, code, size, rest = ''] = line.exec(text) ?? []
  if (code === undefined) throw new ProtocolError('A reply is of an unknown kind.')
  if ((size !== undefined) !== (code === 'VA')) throw new ProtocolError('A reply has a wrong size.')
  if (Number(size) > maxDataBytes) throw new ProtocolError('A value is too large.')
  const flags = new Map<string, string>()
  for (const flag of rest.split(' ').slice(1)) {
    const [letter = ''] = flag
    if (flags.has(letter)) throw new ProtocolError('A reply has a flag twice.')
    flags.set(letter, flag.slice(1))
  }
  const data = size === undefined ? null : Buffer.alloc(Number(size))
  return { code: code as ReplyCode, flags, data, message: '' }
}
