import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { Call, type RedisCall, type Send } from './call.ts'
import {
  type ConnectionMaker,
  type Lane,
  type RedisConnection,
  reconnectDelayMs,
} from './connection.ts'
import {
  hopelessness,
  isAnswer,
  isDemoted,
  isWithoutReplicas,
  toldApart,
  unavailable,
} from './errors.ts'

export interface LinkLimits {
  /** How long a call takes at most, whatever Redis does. */
  readonly deadlineMs: number
  /** How long an attempt to connect takes at most; longer than a call, or a busy machine never connects. */
  readonly connectMs: number
  /** How many calls may be under way. */
  readonly callsMax: number
  /** How long the start waits for a Redis that is not there. */
  readonly openMs: number
}

/**
 * The way to Redis. The client alone waits for ever for the answer to a command that it has written,
 * and some of its states only a new client leaves. So every call has a deadline here, and one that
 * reaches it makes us connect anew, in the background, to where Redis is now. When nothing at all was
 * heard meanwhile, the old connection is given up at once, so that nothing more is sent into it that
 * might run much later.
 */
export class RedisLink {
  readonly #make: ConnectionMaker
  readonly #limits: LinkLimits
  /** null while there is none to use; calls wait for `#reconnecting` then. */
  #connection: RedisConnection | null = null
  #openedAtMs = 0
  /** When each lane last brought an answer. */
  readonly #heardAtMs: Record<Lane, number> = [0, 0]
  #lastError: Error | null = null
  #disturbances = 0
  #reconnecting: Promise<void> | null = null
  /** Old connections, which finish what they have begun. */
  readonly #retiring = new Set<Promise<void>>()
  readonly #closing = new AbortController()
  #calls = 0
  #onIdle = () => {}

  private constructor(make: ConnectionMaker, limits: LinkLimits) {
    this.#make = make
    this.#limits = limits
  }

  /** @throws `store_unavailable`: soon when it is hopeless, else when Redis has not come in time */
  static async open(make: ConnectionMaker, limits: LinkLimits): Promise<RedisLink> {
    const link = new RedisLink(make, limits)
    const untilMs = performance.now() + limits.openMs
    for (let attempt = 0; ; attempt++) {
      try {
        await link.#connect()
        return link
      } catch (error) {
        const detail = hopelessness(error)
        const delayMs = reconnectDelayMs(attempt)
        if (detail !== null || performance.now() + delayMs > untilMs) {
          throw unavailable(error, detail ?? 'Redis does not answer.')
        }
        await sleep(delayMs)
      }
    }
  }

  /**
   * Does something with Redis before the deadline. What `work` tries after it is not sent.
   * @throws `store_unavailable`
   */
  async run<T>(work: (call: RedisCall) => Promise<T>, lane: Lane = 0): Promise<T> {
    if (this.#closing.signal.aborted) throw unavailable(new Error('The store is closed.'))
    if (this.#calls >= this.#limits.callsMax) throw unavailable(new Error('Too many calls wait.'))
    const startedAtMs = performance.now()
    const end = new AbortController()
    const call = new Call(this.#send, end.signal, lane)
    const { promise: expired, reject } = Promise.withResolvers<never>()
    let isOver = false
    const expire = () => {
      if (isOver) return
      const cause = call.lastError ?? this.#lastError ?? undefined
      reject(new Error('Redis did not answer in time.', { cause }))
      this.#onExpired(startedAtMs, lane)
    }
    // After a pause of this process timers come first, though the answer may be there: it is read
    // before an immediate.
    const timer = setTimeout(() => setImmediate(expire), this.#limits.deadlineMs)
    this.#calls++
    try {
      return await Promise.race([work(call), expired])
    } catch (error) {
      end.abort()
      throw unavailable(error)
    } finally {
      isOver = true
      clearTimeout(timer)
      if (--this.#calls === 0) this.#onIdle()
    }
  }

  /** The primaries that share the keys. */
  primaries(): Promise<readonly string[]> {
    return this.run(async () => {
      if (this.#connection === null) await this.#reconnecting
      if (this.#connection === null) throw new Error('There is no connection.')
      return this.#connection.primaries()
    })
  }

  /** How long a call takes at most. */
  get deadlineMs(): number {
    return this.#limits.deadlineMs
  }

  /**
   * Grows whenever a connection was lost or replaced. Where it is the same before and after, what was
   * sent meanwhile went over one connection.
   */
  get disturbances(): number {
    return this.#disturbances
  }

  /**
   * To be told where a primary has too few replicas: they may have gone to another one, and it be the last
   * to hear of that.
   */
  doubt(): void {
    this.#leave(this.#limits.connectMs)
  }

  /** Lets the calls under way end, which their deadlines make sure of, and closes. */
  async close(): Promise<void> {
    this.#closing.abort()
    if (this.#calls > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve
      })
    }
    if (this.#connection !== null) this.#retire(this.#connection)
    this.#connection = null
    await Promise.all([this.#reconnecting, ...this.#retiring])
  }

  readonly #send: Send = async (route, command, signal, lane) => {
    if (this.#connection === null) await this.#reconnecting
    if (this.#connection === null) throw new Error('There is no connection.')
    try {
      const reply = await this.#connection.send(route, command, signal, lane)
      this.#heardAtMs[lane] = performance.now()
      return reply
    } catch (error) {
      if (isAnswer(error)) this.#heardAtMs[lane] = performance.now()
      if (isDemoted(error)) this.#leave(this.#limits.deadlineMs)
      if (isWithoutReplicas(error)) this.doubt()
      throw error
    }
  }

  /**
   * Goes to where Redis is now. Not again and again: who is asked for the primary may not know the new
   * one yet.
   */
  #leave(pauseMs: number): void {
    if (performance.now() - this.#openedAtMs > pauseMs) this.#reconnect()
  }

  #onExpired(startedAtMs: number, lane: Lane): void {
    // It waited for a connection that has been replaced since.
    if (startedAtMs < this.#openedAtMs) return
    if (this.#heardAtMs[lane] < startedAtMs) {
      this.#connection?.destroy()
      this.#connection = null
    }
    this.#reconnect()
  }

  /** Connects anew in the background, until it works or the link is closed. */
  #reconnect(): void {
    this.#reconnecting ??= this.#untilConnected()
      .catch(() => {})
      .finally(() => {
        this.#reconnecting = null
      })
  }

  async #untilConnected(): Promise<void> {
    const { signal } = this.#closing
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        await this.#connect()
        return
      } catch {
        await sleep(reconnectDelayMs(attempt), null, { signal })
      }
    }
  }

  /** One attempt. The connection before goes on until then, and ends what it has begun. */
  async #connect(): Promise<void> {
    this.#lastError = null
    const connection = this.#make((error) => {
      this.#disturbances += 1
      this.#lastError = toldApart(error)
    })
    const tooLate = AbortSignal.any([
      AbortSignal.timeout(this.#limits.connectMs),
      this.#closing.signal,
    ])
    try {
      await Promise.race([connection.connect(), once(tooLate, 'abort')])
      tooLate.throwIfAborted()
    } catch (error) {
      connection.destroy()
      throw this.#lastError ?? error
    }
    if (this.#connection !== null) this.#retire(this.#connection)
    this.#connection = connection
    this.#disturbances += 1
    this.#openedAtMs = performance.now()
  }

  #retire(connection: RedisConnection): void {
    const limit = new AbortController()
    const pause = sleep(this.#limits.deadlineMs, null, { signal: limit.signal })
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
