import { hash } from 'node:crypto'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { backoffMs } from '../../core/backoff.ts'
import { reasonOf } from '../../core/error-text.ts'
import { InFlightCalls, withDeadline } from '../in-flight-calls.ts'
import {
  type ConnectionFactory,
  type ConnectionRole,
  checkServer,
  createConnectionFactory,
  fatalReason,
  isErrorReply,
  isOfDestroy,
  isTemporary,
  maxCalls,
  type RedisArguments,
  type RedisConnection,
  type RedisReply,
  type Route,
  reconnectDelay,
  unavailable,
  withoutArguments,
} from './connection.ts'
import { parseRedisUrl } from './url.ts'

export interface RedisOptions {
  /** The folder that relative paths in the URL are resolved against. */
  readonly cwd?: string
  /** Longest duration of a call. Default: 1,000. */
  readonly deadlineMs?: number
  /** How long to wait for a Redis that is unavailable. Default: 5,000. */
  readonly openMs?: number
  /**
   * Replicas that must have a change before it is acknowledged (`WAIT`). With `min-replicas-to-write`
   * on the servers, a fail-over loses no acknowledged change. Default: 0.
   */
  readonly replicas?: number
}

/** A Lua program. Redis runs one at a time, on the slot of its keys. */
export interface Script {
  readonly text: string
  /** The name of the program in EVALSHA. */
  readonly sha: string
}

/** Connecting takes several round trips: to a sentinel, to the primary, and for authentication. */
const minConnectMs = 1_000
/** Delay before a command is repeated. */
const repeatDelay = { minMs: 25, maxMs: 200 }

type SendCommand = RedisConnection['send']

/**
 * A client of Redis whose calls end within their deadline. The library waits forever for a reply,
 * so the client reconnects after a call that reached its deadline. A connection without any reply
 * during that call is closed at once: the server might run a further command on it much later.
 */
export class RedisClient {
  /** Longest duration of a call. */
  readonly deadlineMs: number
  /** Whether keys are on several servers, between which they may move at any time. */
  readonly isCluster: boolean
  readonly replicas: number
  readonly #connectMs: number
  readonly #createConnection: ConnectionFactory
  readonly #calls = new InFlightCalls(maxCalls, unavailable)
  readonly #closing = new AbortController()
  /** null while none is usable; commands wait for the next attempt to reconnect. */
  #connection: RedisConnection | null = null
  #connectedAtMs = 0
  #connectionEpoch = 0
  readonly #lastReplyAtMs: Record<ConnectionRole, number> = { main: 0, replicated: 0 }
  #lastError: Error | null = null
  #reconnecting: Promise<void> | null = null
  /**
   * The attempt of `#reconnecting` in progress. A call that waited for all attempts would stay in memory
   * during the whole outage.
   */
  #attempt: Promise<boolean> = Promise.resolve(false)
  /** Former connections, which finish their commands. */
  readonly #retiring = new Set<Promise<void>>()

  private constructor(url: string, options: RedisOptions) {
    const { cwd = '.', deadlineMs = 1_000, replicas = 0 } = options
    const target = parseRedisUrl(url)
    this.deadlineMs = deadlineMs
    this.isCluster = target.topology === 'cluster'
    this.replicas = replicas
    this.#connectMs = Math.max(deadlineMs, minConnectMs)
    this.#createConnection = createConnectionFactory(target, cwd, {
      maxSilenceMs: this.#connectMs,
      hasReplicatedRole: replicas > 0,
    })
  }

  /**
   * Connects.
   * @throws `config_invalid`; `store_unavailable`, early for a fatal error, otherwise after `openMs`
   */
  static async open(url: string, options: RedisOptions = {}): Promise<RedisClient> {
    const client = new RedisClient(url, options)
    const untilMs = performance.now() + (options.openMs ?? 5_000)
    for (let attempt = 0; ; attempt++) {
      try {
        await client.#connect()
        checkServer(await client.#hello(), parseRedisUrl(url))
        return client
      } catch (error) {
        const detail = fatalReason(error)
        const delayMs = backoffMs(attempt, reconnectDelay)
        if (detail !== null || performance.now() + delayMs > untilMs) {
          await client.close()
          const reason = reasonOf(withoutArguments(error))
          throw unavailable(error, detail ?? `Redis cannot be used: ${reason}.`)
        }
        await sleep(delayMs)
      }
    }
  }

  /**
   * Runs a call. No command is sent after its deadline.
   * @throws `store_unavailable`
   */
  run<T>(work: (call: RedisCall) => Promise<T>, role: ConnectionRole = 'main'): Promise<T> {
    return this.#calls.run(() => this.#runWithDeadline(work, role))
  }

  /** Returns the names of the primaries that share the keys. @throws `store_unavailable` */
  primaries(): Promise<readonly string[]> {
    return this.run(async ({ signal }) => (await this.#usableConnection(signal)).primaries())
  }

  /**
   * Increases whenever a connection was lost or replaced. Commands between two equal values used one
   * connection.
   */
  get connectionEpoch(): number {
    return this.#connectionEpoch
  }

  /**
   * Reports that the primary lacks replicas. The replicas may follow another primary, and a former
   * primary is the last to learn of it. So the client reconnects.
   */
  reportMissingReplicas(): void {
    this.#reconnectAfter(this.#connectMs)
  }

  /** Waits for the calls in progress, which end within their deadlines, and closes. */
  async close(): Promise<void> {
    this.#closing.abort()
    await this.#calls.close()
    if (this.#connection !== null) this.#retire(this.#connection)
    this.#connection = null
    await Promise.all([this.#reconnecting, ...this.#retiring])
  }

  /** Returns the properties of a server, or none if it does not tell them. Redis 6.0 requires the protocol. */
  async #hello(): Promise<RedisReply> {
    const [primary = ''] = await this.primaries()
    return this.run((call) =>
      call.command({ primary }, ['HELLO', '3']).catch((error: unknown) => {
        if (isErrorReply(error)) return []
        throw error
      }),
    )
  }

  #runWithDeadline<T>(work: (call: RedisCall) => Promise<T>, role: ConnectionRole): Promise<T> {
    const startedAtMs = performance.now()
    let call: RedisCall | undefined
    const run = (signal: AbortSignal) => {
      call = new RedisCall(this.#send, signal, role)
      return work(call)
    }
    return withDeadline(this.deadlineMs, run, () => {
      const cause = call?.lastError ?? this.#lastError ?? undefined
      this.#onDeadline(startedAtMs, role)
      return new Error('Redis did not reply in time.', { cause })
    })
  }

  async #usableConnection(signal: AbortSignal): Promise<RedisConnection> {
    while (this.#connection === null && this.#reconnecting !== null) {
      await this.#attempt
      signal.throwIfAborted()
    }
    if (this.#connection === null) throw new Error('There is no connection.')
    return this.#connection
  }

  readonly #send: SendCommand = async (route, command, signal, role) => {
    const connection = await this.#usableConnection(signal)
    try {
      const reply = await connection.send(route, command, signal, role)
      this.#lastReplyAtMs[role] = performance.now()
      return reply
    } catch (error) {
      if (isErrorReply(error)) this.#lastReplyAtMs[role] = performance.now()
      // The server has become a replica of another primary.
      if (isErrorReply(error, 'READONLY')) this.#reconnectAfter(this.deadlineMs)
      if (isErrorReply(error, 'NOREPLICAS')) this.reportMissingReplicas()
      throw error
    }
  }

  #onDeadline(startedAtMs: number, role: ConnectionRole): void {
    // The call waited for a connection that has been replaced since.
    if (startedAtMs < this.#connectedAtMs) return
    if (this.#lastReplyAtMs[role] < startedAtMs) {
      this.#connection?.destroy()
      this.#connection = null
    }
    this.#reconnect()
  }

  /** Commands wait for the next connection: a former primary must not take further changes. */
  #replaceConnection(): void {
    if (this.#connection !== null) this.#retire(this.#connection)
    this.#connection = null
    this.#reconnect()
  }

  /** Reconnects, unless the connection is younger: sentinels may not know the new primary yet. */
  #reconnectAfter(minAgeMs: number): void {
    if (performance.now() - this.#connectedAtMs > minAgeMs) this.#reconnect()
  }

  /** Reconnects in the background, until that succeeds or the client is closed. */
  #reconnect(): void {
    this.#reconnecting ??= this.#connectRepeatedly().finally(() => {
      this.#reconnecting = null
    })
  }

  async #connectRepeatedly(): Promise<void> {
    for (let attempt = 0; !this.#closing.signal.aborted; attempt++) {
      this.#attempt = this.#tryToConnect(attempt)
      if (await this.#attempt) return
    }
  }

  /** Makes one attempt to connect, and pauses after a failure. Returns whether it succeeded. */
  async #tryToConnect(attempt: number): Promise<boolean> {
    try {
      await this.#connect()
      return true
    } catch {
      const { signal } = this.#closing
      await sleep(backoffMs(attempt, reconnectDelay), null, { signal }).catch(() => {})
      return false
    }
  }

  /** Makes one attempt to connect. The previous connection serves meanwhile and finishes its commands. */
  async #connect(): Promise<void> {
    this.#lastError = null
    const connection = this.#createConnection({
      onError: (error) => {
        this.#connectionEpoch += 1
        if (!isOfDestroy(error)) this.#lastError = withoutArguments(error)
      },
      onLost: () => {
        if (connection === this.#connection) this.#replaceConnection()
      },
    })
    const { signal: closing } = this.#closing
    try {
      await withDeadline(
        this.#connectMs,
        async (signal) => {
          await Promise.race([connection.connect(), once(closing, 'abort', { signal })])
          closing.throwIfAborted()
        },
        () => new Error('Redis did not accept the connection in time.'),
      )
    } catch (error) {
      connection.destroy()
      throw this.#lastError ?? error
    }
    if (this.#connection !== null) this.#retire(this.#connection)
    this.#connection = connection
    this.#connectionEpoch += 1
    this.#connectedAtMs = performance.now()
  }

  /** Closes a connection once its commands have finished, at the latest after a deadline. */
  #retire(connection: RedisConnection): void {
    const limit = new AbortController()
    const pause = sleep(this.deadlineMs, null, { signal: limit.signal })
    const retired = Promise.race([connection.close(), pause])
      .catch(() => {})
      .then(() => {
        limit.abort()
        connection.destroy()
        this.#retiring.delete(retired)
      })
    pause.catch(() => {})
    this.#retiring.add(retired)
  }
}

/** The commands of one call. Repeats a command until it gets a reply or the deadline has passed. */
export class RedisCall {
  /** Why a command was last repeated. */
  lastError: Error | null = null
  /** Whether the reply to a command was lost, so that the repeated command may have run before. */
  hasLostReply = false
  /** How many commands were sent, in this order, repeated ones included. */
  sentCommands = 0
  /** Aborted at the deadline. */
  readonly signal: AbortSignal
  readonly #send: SendCommand
  readonly #role: ConnectionRole

  constructor(send: SendCommand, signal: AbortSignal, role: ConnectionRole) {
    this.signal = signal
    this.#send = send
    this.#role = role
  }

  /**
   * @param route selects the server; every key of the command must be there
   * @param isRepeatable whether the command may be repeated although it may have run
   */
  async command(route: Route, command: RedisArguments, isRepeatable = true): Promise<RedisReply> {
    for (let attempt = 0; ; attempt++) {
      this.sentCommands += 1
      try {
        return await this.#send(route, command, this.signal, this.#role)
      } catch (error) {
        const mayRepeat = isTemporary(error) || (isRepeatable && !isErrorReply(error))
        if (!mayRepeat || this.signal.aborted) throw error
        if (!isOfDestroy(error)) this.lastError = withoutArguments(error)
        if (!isErrorReply(error)) this.hasLostReply = true
        await sleep(backoffMs(attempt, repeatDelay), null, { signal: this.signal })
      }
    }
  }

  /** @param keys one key, or several on one slot */
  async script(
    script: Script,
    keys: string | readonly string[],
    args: RedisArguments,
    isRepeatable = true,
  ): Promise<RedisReply> {
    const all = typeof keys === 'string' ? [keys] : keys
    const [first = ''] = all
    const parameters = [String(all.length), ...all, ...args]
    try {
      return await this.command(first, ['EVALSHA', script.sha, ...parameters], isRepeatable)
    } catch (error) {
      if (!isErrorReply(error, 'NOSCRIPT')) throw error
      return this.command(first, ['EVAL', script.text, ...parameters], isRepeatable)
    }
  }
}

export function defineScript(text: string): Script {
  return { text, sha: hash('sha1', text) }
}
