import { once } from 'node:events'
import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import type { ServerAddress } from '../server-url.ts'
import { tlsFailure } from '../store-errors.ts'
import {
  authenticate,
  type Command,
  ProtocolError,
  probe,
  type Reply,
  ReplyParser,
} from './protocol.ts'
import type { MemcachedCredentials } from './url.ts'

export interface ConnectionSettings {
  readonly address: ServerAddress
  readonly credentials: MemcachedCredentials | null
  /** null for plain text. */
  readonly tls: ConnectionOptions | null
}

/** Commands that were sent together. */
interface Batch {
  readonly commands: readonly Command[]
  readonly firstToken: number
  readonly replies: Reply[]
  resolve(replies: readonly Reply[]): void
  reject(error: Error): void
}

const keepAliveMs = 10_000
/** Longest time to connect and authenticate: longer than a call, because later calls use the connection. */
const connectMs = 1_000

/**
 * A pipelined connection to one node, by the meta protocol, which no library supports with TLS and
 * authentication. A reply without the token of its command, or with a code that the command cannot
 * have, destroys the connection, so that no caller receives the reply to another command.
 */
export class MemcachedConnection {
  readonly #socket: Socket
  readonly #parser = new ReplyParser()
  readonly #batches: Batch[] = []
  #nextToken = 0
  #error: Error | null = null
  #lastReplyAtMs = performance.now()

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.setNoDelay(true).setKeepAlive(true, keepAliveMs)
    socket.on('data', (chunk: Buffer) => this.#onData(chunk))
    socket.on('error', (error) => this.destroy(toConnectionError(error)))
    socket.on('close', () => this.destroy(new NoReplyError('The node closed the connection.')))
  }

  /** Connects, checks certificate and version, and authenticates. @throws NoReplyError, RefusalError */
  static async open(settings: ConnectionSettings): Promise<MemcachedConnection> {
    const { address, tls } = settings
    const socket =
      tls === null
        ? connectTcp(address)
        : connectTls({ ...address, ...tls, servername: isIP(address.host) ? '' : address.host })
    const late = new NoReplyError('The node did not accept the connection in time.')
    const timer = setTimeout(() => socket.destroy(late), connectMs)
    try {
      await once(socket, tls === null ? 'connect' : 'secureConnect')
      const connection = new MemcachedConnection(socket)
      await connection.#handshake(settings.credentials)
      return connection
    } catch (error) {
      socket.on('error', () => {}).destroy()
      throw toConnectionError(error)
    } finally {
      clearTimeout(timer)
    }
  }

  get isOpen(): boolean {
    return this.#error === null
  }

  /** When the last complete reply arrived, by `performance.now()`. */
  get lastReplyAtMs(): number {
    return this.#lastReplyAtMs
  }

  /** Sends commands together and returns their replies in order. @throws NoReplyError, RefusalError */
  send(commands: readonly Command[]): Promise<readonly Reply[]> {
    if (this.#error !== null) return Promise.reject(this.#error)
    if (commands.length === 0) return Promise.resolve([])
    return new Promise((resolve, reject) => {
      const firstToken = this.#nextToken
      this.#nextToken += commands.length
      this.#batches.push({ commands, firstToken, replies: [], resolve, reject })
      this.#write(commands, firstToken)
    })
  }

  /** Closes the connection immediately and rejects all commands without a reply. */
  destroy(reason: Error): void {
    if (this.#error !== null) return
    this.#error = reason
    this.#socket.destroy()
    for (const batch of this.#batches.splice(0)) batch.reject(reason)
  }

  async #handshake(credentials: MemcachedCredentials | null): Promise<void> {
    const requiresPassword = await this.#probe()
    if (credentials === null) {
      if (requiresPassword) throw fatal('Memcached requires a user name and a password.')
      return
    }
    // A server without authentication would store the password as a value.
    if (!requiresPassword) throw fatal('Memcached requires no password, but one is set.')
    const [reply] = await this.send([authenticate(credentials)])
    if (reply?.code !== 'STORED') {
      throw fatal('Memcached refuses the user name or the password.')
    }
    await this.#probe()
  }

  /** Returns whether the server requires a password. @throws RefusalError if it is too old */
  async #probe(): Promise<boolean> {
    const [reply] = await this.send([probe])
    if (reply?.code === 'CLIENT_ERROR') return true
    if (reply?.flags.get('O') !== 'probe') throw fatal('Memcached 1.6.18 or later is required.')
    return false
  }

  #write(commands: readonly Command[], firstToken: number): void {
    // One packet for all commands of one turn of the event loop.
    if (this.#socket.writableCorked === 0) {
      this.#socket.cork()
      process.nextTick(() => this.#socket.uncork())
    }
    let text = ''
    for (const [at, { head, data, isHandshake }] of commands.entries()) {
      text += isHandshake ? `${head}\r\n` : `${head} O${tokenOf(firstToken + at)}\r\n`
      if (data === undefined) continue
      this.#socket.write(text, 'latin1')
      this.#socket.write(data)
      text = '\r\n'
    }
    this.#socket.write(text, 'latin1')
  }

  #onData(chunk: Buffer): void {
    if (this.#error !== null) return
    try {
      for (const reply of this.#parser.push(chunk)) this.#onReply(reply)
    } catch (error) {
      this.destroy(toConnectionError(error))
    }
  }

  #onReply(reply: Reply): void {
    const [batch] = this.#batches
    if (batch === undefined) throw new ProtocolError('A reply arrived without a command.')
    const { commands, firstToken, replies } = batch
    const at = replies.length
    if (!isReplyTo(reply, commands[at] as Command, firstToken + at)) {
      throw new ProtocolError(`A reply (${reply.code}) does not belong to its command.`)
    }
    this.#lastReplyAtMs = performance.now()
    replies.push(reply)
    if (replies.length < commands.length) return
    this.#batches.shift()
    const refusal = replies.find(({ code }) => code === 'SERVER_ERROR')
    if (refusal === undefined) batch.resolve(replies)
    else batch.reject(new RefusalError(`Memcached says: ${refusal.message}`))
  }
}

/**
 * An error carries no token. `SERVER_ERROR`, for instance when memory is full, is the reply to one
 * command; the tokens of later replies confirm this. Any other error concerns the bytes that we
 * sent.
 */
function isReplyTo(reply: Reply, command: Command, token: number): boolean {
  if (command.isHandshake) return command.replyCodes.includes(reply.code)
  if (reply.code === 'SERVER_ERROR') return true
  return command.replyCodes.includes(reply.code) && reply.flags.get('O') === tokenOf(token)
}

function tokenOf(number: number): string {
  return number.toString(36)
}

function fatal(message: string): RefusalError {
  return new RefusalError(message, { isFatal: true })
}

/** No usable reply: the node is down, silent, unreachable, or violates the protocol. */
export class NoReplyError extends Error {
  override readonly name = 'NoReplyError'
}

/** The node refused. The message is that of the node, or our own. */
export class RefusalError extends Error {
  override readonly name = 'RefusalError'
  /** Whether it refuses every call, because of its version or of the password. */
  readonly isFatal: boolean

  constructor(message: string, { isFatal = false } = {}) {
    super(message)
    this.isFatal = isFatal
  }
}

/** Whether the node is out of service, as opposed to refusing one call. */
export function isOutage(error: unknown): boolean {
  return error instanceof NoReplyError || (error instanceof RefusalError && error.isFatal)
}

/** Converts an error of a connection. An error of the system becomes the cause. */
function toConnectionError(error: unknown): Error {
  if (error instanceof RefusalError || error instanceof NoReplyError) return error
  const reason = error instanceof ProtocolError ? error.message : 'The connection is lost.'
  return new NoReplyError(reason, { cause: error })
}

/** Returns why a retry cannot succeed, or null if it might. */
export function fatalReason(error: unknown): string | null {
  if (error instanceof RefusalError && error.isFatal) return error.message
  if (!(error instanceof Error)) return null
  // A key that does not match its certificate prevents even the socket.
  return tlsFailure('memcached', (error.cause ?? error) as Error)
}
