import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '../../core/clock.ts'
import { reasonOf } from '../../core/error-text.ts'
import { digest } from '../../core/secrets.ts'
import { CircuitBreaker } from '../circuit-breaker.ts'
import { InFlightCalls, withDeadline } from '../in-flight-calls.ts'
import { storeUnavailable } from '../store-errors.ts'
import {
  type ConnectionSettings,
  fatalReason,
  isOutage,
  MemcachedConnection,
  NoReplyError,
} from './connection.ts'
import type { Command, Reply } from './protocol.ts'
import { type MemcachedTarget, nameOf, urlParser } from './url.ts'

/** Sends commands to a node together, in one round trip. */
export type Send = (commands: readonly Command[]) => Promise<readonly Reply[]>

export interface MemcachedOptions {
  /** The folder that relative paths in the URL are resolved against. */
  readonly cwd?: string
  /** Longest duration of a call. */
  readonly deadlineMs: number
  /** How long to wait for a first node to respond. */
  readonly openMs?: number
}

/** Calls in progress per node; each may hold a value of 64 KiB. */
const maxCalls = 2_000
const openRetryMs = 100
/** How long the circuit breaker stays open. */
const openFor = { minMs: 250, maxMs: 2_000 }

/**
 * One node. Every call ends within its deadline.
 *
 * A connection without any reply during a whole call is closed. While the node is out of service, the
 * circuit breaker fails calls immediately; its probe connects again.
 */
export class MemcachedNode {
  /** In the hash ring and in messages. */
  readonly name: string
  readonly #settings: ConnectionSettings
  readonly #deadlineMs: number
  readonly #breaker: CircuitBreaker
  readonly #calls: InFlightCalls
  #connection: MemcachedConnection | null = null
  #connecting: Promise<MemcachedConnection> | null = null

  constructor(settings: ConnectionSettings, deadlineMs: number) {
    this.name = nameOf(settings.address)
    this.#settings = settings
    this.#deadlineMs = deadlineMs
    this.#calls = new InFlightCalls(maxCalls, (error) =>
      storeUnavailable(error, `Memcached at ${this.name} failed.`),
    )
    this.#breaker = new CircuitBreaker({ openFor, clock: systemClock, isFailure: isOutage })
  }

  /**
   * Runs a call. All its commands use one connection: a CAS number of one connection means nothing
   * on another connection, because the node may have restarted.
   *
   * @throws `store_unavailable`
   */
  run<T>(call: (send: Send) => Promise<T>): Promise<T> {
    return this.#calls.run(() => this.#breaker.run(() => this.#runWithDeadline(call)))
  }

  /** Returns the connection, which it opens if there is none. @throws NoReplyError, RefusalError */
  async connect(): Promise<MemcachedConnection> {
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

  /** Waits for the calls in progress, which end within their deadlines, and closes the connection. */
  async close(): Promise<void> {
    await this.#calls.close()
    await this.#connecting?.catch(() => {})
    this.#connection?.destroy(new NoReplyError('The store is closed.'))
  }

  #runWithDeadline<T>(call: (send: Send) => Promise<T>): Promise<T> {
    const startedAtMs = performance.now()
    let connection: MemcachedConnection | null = null
    const run = async (signal: AbortSignal) => {
      const current = await this.connect()
      connection = current
      return call((commands) => {
        signal.throwIfAborted()
        return current.send(commands)
      })
    }
    return withDeadline(this.#deadlineMs, run, () => {
      if (connection?.isOpen && connection.lastReplyAtMs >= startedAtMs) {
        return new Error('The node did not reply to the whole call in time.')
      }
      const error = new NoReplyError('The node did not reply in time.')
      connection?.destroy(error)
      return error
    })
  }
}

/** Creates the nodes of a target in its order, not yet connected. @throws `config_invalid` */
export function createNodes(
  { nodes, credentials, tls: files }: MemcachedTarget,
  { cwd = '.', deadlineMs }: MemcachedOptions,
): MemcachedNode[] {
  const tls = files && ({ minVersion: 'TLSv1.2', ...urlParser.readTlsFiles(files, cwd) } as const)
  return nodes.map((address) => new MemcachedNode({ address, credentials, tls }, deadlineMs))
}

/**
 * Waits until a node responds. The others may be unavailable, but none may refuse our certificate or
 * our password.
 *
 * @throws `store_unavailable`: early for a fatal error, otherwise after `openMs`
 */
export async function waitForFirstNode(
  nodes: readonly MemcachedNode[],
  openMs = 5_000,
): Promise<void> {
  const untilMs = performance.now() + openMs
  for (;;) {
    const errors = await Promise.all(nodes.map(connectError))
    for (const [at, error] of errors.entries()) {
      const detail = fatalReason(error)
      if (detail !== null) throw storeUnavailable(error, `${detail} (${nodes[at]?.name})`)
    }
    if (errors.includes(null)) return
    if (performance.now() + openRetryMs > untilMs) {
      const error = errors[0] as Error
      const reason = reasonOf((error.cause ?? error) as Error)
      throw storeUnavailable(error, `No memcached node responds: ${reason}.`)
    }
    await sleep(openRetryMs)
  }
}

/** Connects, and returns the error or null. */
function connectError(node: MemcachedNode): Promise<unknown> {
  return node.connect().then(
    () => null,
    (error) => error,
  )
}

/** Digests per node: enough that the shares of nodes differ by about a twelfth. */
const digestsPerNode = 20
const pointBytes = 4

/**
 * Consistent hashing: assigns keys to nodes. Each node has many points on a ring of 32-bit numbers, and
 * a key belongs to the next point. An added node takes a share of every other node; no other key moves.
 * The order of the nodes does not matter.
 */
export class HashRing {
  readonly #points: Uint32Array
  /** The index of the node of each point. */
  readonly #nodes: Uint16Array

  /** @param names of the nodes, at least one, all different */
  constructor(names: readonly string[]) {
    const points = names
      .flatMap((name, node) => pointsOf(name).map((point) => ({ point, node, name })))
      .sort((a, b) => a.point - b.point || (a.name < b.name ? -1 : 1))
    this.#points = Uint32Array.from(points, ({ point }) => point)
    this.#nodes = Uint16Array.from(points, ({ node }) => node)
  }

  /** Returns the index of the node of a key. @param key a digest */
  nodeOf(key: Buffer): number {
    const point = key.readUInt32BE(0)
    let [low, high] = [0, this.#points.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#points[middle] as number) < point) low = middle + 1
      else high = middle
    }
    return this.#nodes[low % this.#nodes.length] as number
  }
}

function pointsOf(name: string): number[] {
  return Array.from({ length: digestsPerNode }, (_, n) => digest(`${name}-${n}`)).flatMap((hash) =>
    Array.from({ length: hash.length / pointBytes }, (_, at) => hash.readUInt32BE(at * pointBytes)),
  )
}
