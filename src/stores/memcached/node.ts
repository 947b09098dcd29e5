import { systemClock } from '../../core/clock.ts'
import { CircuitBreaker } from '../circuit-breaker.ts'
import type { Command } from './commands.ts'
import { type ConnectionSettings, MemcachedConnection } from './connection.ts'
import { isOutage, NoAnswerError, TooSlowError, unavailable } from './errors.ts'
import type { Reply } from './protocol.ts'

/** Sends commands to the node in one go; one round trip. */
export type Exchanger = (commands: readonly Command[]) => Promise<readonly Reply[]>

export interface NodeLimits {
  /** How long a call takes at most, whatever the node does. */
  readonly deadlineMs: number
  /** How many calls may be under way. */
  readonly callsMax: number
}

interface Call {
  /** null until there is one. */
  connection: MemcachedConnection | null
  isOver: boolean
}

const breakerLimits = { maxFailures: 5, openFor: { minMs: 250, maxMs: 2_000 } }

/**
 * One node. Each call has a deadline. A connection that says nothing at all during a whole call is
 * given up. After some failures in a row the circuit breaker opens; a single call tries again after a
 * while, connects if need be, and closes it when it succeeds. So a node that is down costs nothing
 * but refusals, and nothing runs in the background.
 */
export class MemcachedNode {
  readonly #settings: ConnectionSettings
  readonly #limits: NodeLimits
  readonly #breaker: CircuitBreaker
  #connection: MemcachedConnection | null = null
  #connecting: Promise<MemcachedConnection> | null = null
  #calls = 0
  #isClosed = false
  #onIdle = () => {}

  constructor(settings: ConnectionSettings, limits: NodeLimits) {
    this.#settings = settings
    this.#limits = limits
    this.#breaker = new CircuitBreaker({
      ...breakerLimits,
      clock: systemClock,
      isFailure: isOutage,
    })
  }

  /**
   * Does something with the node before the deadline, all of it on one connection: the number of an
   * item means nothing on the next one, as the node may have been started anew.
   *
   * @throws `store_unavailable`
   */
  async run<T>(work: (exchange: Exchanger) => Promise<T>): Promise<T> {
    if (this.#isClosed) throw unavailable(new Error('The store is closed.'))
    if (this.#calls >= this.#limits.callsMax) throw unavailable(new Error('Too many calls wait.'))
    this.#calls += 1
    try {
      return await this.#breaker.run(() => this.#attempt(work))
    } catch (error) {
      throw unavailable(error)
    } finally {
      this.#calls -= 1
      if (this.#calls === 0) this.#onIdle()
    }
  }

  /** Connects, unless it is connected. @throws NoAnswerError, RefusalError */
  async connect(): Promise<void> {
    await this.#connected()
  }

  /** Lets the calls under way end, which their deadlines make sure of, and closes. */
  async close(): Promise<void> {
    this.#isClosed = true
    if (this.#calls > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve
      })
    }
    await this.#connecting?.catch(() => {})
    this.#connection?.destroy(new NoAnswerError('The store is closed.'))
  }

  async #attempt<T>(work: (exchange: Exchanger) => Promise<T>): Promise<T> {
    const startedAtMs = performance.now()
    const call: Call = { connection: null, isOver: false }
    const { promise: expired, reject } = Promise.withResolvers<never>()
    const expire = () => {
      if (call.isOver) return
      const { connection } = call
      if (connection?.isOpen && connection.heardAtMs >= startedAtMs) {
        reject(new TooSlowError('The node answered, but took too long.'))
        return
      }
      const silent = new NoAnswerError('The node did not answer in time.')
      connection?.destroy(silent)
      reject(silent)
    }
    // The answer may have come while this process was busy: it is read before that.
    const timer = setTimeout(() => setImmediate(expire), this.#limits.deadlineMs)
    try {
      return await Promise.race([this.#work(work, call), expired])
    } finally {
      call.isOver = true
      clearTimeout(timer)
    }
  }

  async #work<T>(work: (exchange: Exchanger) => Promise<T>, call: Call): Promise<T> {
    const connection = await this.#connected()
    call.connection = connection
    return work((commands) => {
      if (call.isOver) throw new NoAnswerError('The time of the call is over.')
      return connection.exchange(commands)
    })
  }

  async #connected(): Promise<MemcachedConnection> {
    if (this.#connection?.isOpen) return this.#connection
    this.#connecting ??= MemcachedConnection.open(this.#settings)
      .then((connection) => {
        this.#connection = connection
        return connection
      })
      .finally(() => {
        this.#connecting = null
      })
    return this.#connecting
  }
}
