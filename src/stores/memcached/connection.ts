import { once } from 'node:events'
import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import type { ServerAddress } from '../server-url.ts'
import { authenticate, type Command, noop } from './commands.ts'
import { NoAnswerError, noAnswer, RefusalError } from './errors.ts'
import { ProtocolError, type Reply, ReplyParser } from './protocol.ts'
import type { MemcachedCredentials } from './url.ts'

export interface ConnectionSettings {
  readonly address: ServerAddress
  readonly credentials: MemcachedCredentials | null
  /** null is plain text. */
  readonly tls: ConnectionOptions | null
  /** How long everything may take until it can be used. */
  readonly connectMs: number
}

/** Some commands that went out together. */
interface Exchange {
  readonly commands: readonly Command[]
  readonly firstToken: number
  readonly replies: Reply[]
  resolve(replies: readonly Reply[]): void
  reject(error: Error): void
}

/** The longest line that memcached sends is an error of under a hundred bytes. */
const lineBytesMax = 2_048
/** What an item holds at most, unless memcached was told otherwise (`-I`). */
const dataBytesMax = 1_048_576
const keepAliveMs = 10_000

/**
 * One connection to one node, on which commands follow one another without waiting for answers.
 *
 * It is our own, as is the parser, because no library does what we need: `memjs` speaks the binary
 * protocol, which memcached has deprecated, without TLS; `memcached` and `memcache-client` have no
 * authentication, and the former no TLS; `memcache` authenticates by the binary protocol only, and
 * leaves it to the order alone whose answer is whose. None speaks the meta protocol, whose tokens
 * tell.
 *
 * Each answer must carry its command's token and be of a kind that the command can have. Else, and at
 * any error that may leave the two sides out of step, the connection is destroyed, and what waits on
 * it fails: nobody ever gets another's answer.
 */
export class MemcachedConnection {
  readonly #socket: Socket
  readonly #parser = new ReplyParser({ lineBytesMax, dataBytesMax })
  readonly #waiting: Exchange[] = []
  #nextToken = 0
  #end: Error | null = null
  #heardAtMs = performance.now()

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.setNoDelay(true).setKeepAlive(true, keepAliveMs)
    socket.on('data', (chunk: Buffer) => this.#onData(chunk))
    socket.on('error', (error) => this.destroy(noAnswer(error)))
    socket.on('close', () => this.destroy(new NoAnswerError('The node has hung up.')))
  }

  /** Connects, checks the certificate, and signs in. @throws NoAnswerError, RefusalError */
  static async open(settings: ConnectionSettings): Promise<MemcachedConnection> {
    const { address, tls, connectMs } = settings
    const socket =
      tls === null
        ? connectTcp(address)
        : connectTls({ ...address, ...tls, servername: isIP(address.host) ? '' : address.host })
    const late = new NoAnswerError('The node did not take the connection in time.')
    const timer = setTimeout(() => socket.destroy(late), connectMs)
    try {
      await once(socket, tls === null ? 'connect' : 'secureConnect')
      const connection = new MemcachedConnection(socket)
      await connection.#signIn(settings.credentials)
      return connection
    } catch (error) {
      socket.on('error', () => {}).destroy()
      throw noAnswer(error)
    } finally {
      clearTimeout(timer)
    }
  }

  get isOpen(): boolean {
    return this.#end === null
  }

  /** When the last whole answer came, by `performance.now()`. */
  get heardAtMs(): number {
    return this.#heardAtMs
  }

  /** Sends commands in one go, and gives their answers in order. @throws NoAnswerError, RefusalError */
  exchange(commands: readonly Command[]): Promise<readonly Reply[]> {
    if (this.#end !== null) return Promise.reject(this.#end)
    if (commands.length === 0) return Promise.resolve([])
    return new Promise((resolve, reject) => {
      const firstToken = this.#nextToken
      this.#nextToken += commands.length
      this.#waiting.push({ commands, firstToken, replies: [], resolve, reject })
      this.#write(commands, firstToken)
    })
  }

  /** Gives it up at once; what waits for an answer is rejected. */
  destroy(reason: Error): void {
    if (this.#end !== null) return
    this.#end = reason
    this.#socket.destroy()
    for (const exchange of this.#waiting.splice(0)) exchange.reject(reason)
  }

  async #signIn(credentials: MemcachedCredentials | null): Promise<void> {
    const [hello] = await this.exchange([noop])
    const isAsked = hello?.code === 'CLIENT_ERROR'
    if (credentials === null) {
      if (isAsked) throw access('Memcached demands a user name and a password.')
      return
    }
    // It would take the password for a value.
    if (!isAsked) throw access('Memcached demands no password, though one is set.')
    const [answer] = await this.exchange([authenticate(credentials)])
    if (answer?.code !== 'STORED') throw access('Memcached refuses the user name or the password.')
  }

  #write(commands: readonly Command[], firstToken: number): void {
    // What is sent in one turn of the event loop goes out together.
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
    if (this.#end !== null) return
    try {
      for (const reply of this.#parser.push(chunk)) this.#take(reply)
    } catch (error) {
      this.destroy(noAnswer(error))
    }
  }

  #take(reply: Reply): void {
    const [exchange] = this.#waiting
    if (exchange === undefined) throw new ProtocolError('An answer came that nobody waits for.')
    const { commands, firstToken, replies } = exchange
    const at = replies.length
    if (!isAnswerTo(reply, commands[at] as Command, firstToken + at)) {
      throw new ProtocolError(`An answer (${reply.code}) is not of the command it should be of.`)
    }
    this.#heardAtMs = performance.now()
    replies.push(reply)
    if (replies.length < commands.length) return
    this.#waiting.shift()
    const refusal = replies.find(({ code }) => code === 'SERVER_ERROR')
    if (refusal === undefined) exchange.resolve(replies)
    else exchange.reject(new RefusalError(`Memcached says: ${refusal.message}`))
  }
}

/**
 * An error has no token. `SERVER_ERROR`, as when memory is full, is the answer to one command; the
 * tokens of those after it show that it was. Any other error is about what we have sent.
 */
function isAnswerTo(reply: Reply, command: Command, token: number): boolean {
  if (command.isHandshake) return command.codes.includes(reply.code)
  if (reply.code === 'SERVER_ERROR') return true
  return command.codes.includes(reply.code) && reply.flags.get('O') === tokenOf(token)
}

function tokenOf(number: number): string {
  return number.toString(36)
}

function access(message: string): RefusalError {
  return new RefusalError(message, { isAccess: true })
}
