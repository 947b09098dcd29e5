import type {
  DataOwner,
  DataPromises,
  DataRemoval,
  DataStore,
  DataWrite,
  Expected,
  RemovalOutcome,
  StoredField,
  WriteOutcome,
} from '../data-store.ts'
import type { RedisReply } from './connection.ts'
import {
  endedMark,
  endFieldsScript,
  removeFieldScript,
  touchFieldsScript,
  writeFieldScript,
} from './data-scripts.ts'
import { unavailable } from './failures.ts'
import type { RedisLink } from './link.ts'
import { openLink, type RedisOptions } from './open.ts'
import type { Script } from './scripts.ts'

export interface RedisDataOptions extends RedisOptions {
  /**
   * How many replicas must have a change before it is acknowledged (`WAIT`). Together with
   * `min-replicas-to-write` at the servers no acknowledged change is lost at a fail-over. Default 0.
   */
  readonly replicas?: number
}

/** A cart is no reason to keep a request waiting for long. */
const defaultDeadlineMs = 250
/** The part of the deadline that replicas have. */
const replicaShare = 0.5

/**
 * Session data in Redis 7 or later, or Valkey: one server, a Cluster, or what sentinels watch
 * (url.ts). Redis removes by its own clock what has expired.
 *
 * It keeps what it acknowledged as long as it is told to keep anything: with `appendonly yes` over a
 * restart, with `maxmemory-policy noeviction` when it is full. Without `replicas` a fail-over may lose
 * the last changes.
 */
export class RedisDataStore implements DataStore {
  readonly promises: DataPromises = { durable: true, keepsAll: true }
  readonly #link: RedisLink
  /** A connection that waits for replicas keeps all behind it waiting: changes have their own then. */
  readonly #changes: RedisLink
  readonly #replicas: number
  readonly #replicasMs: number

  private constructor(links: { link: RedisLink; changes: RedisLink }, options: RedisDataOptions) {
    const { replicas = 0, deadlineMs = defaultDeadlineMs } = options
    this.#link = links.link
    this.#changes = links.changes
    this.#replicas = replicas
    this.#replicasMs = Math.max(1, Math.floor(deadlineMs * replicaShare))
  }

  /** @throws `config_invalid`, `store_unavailable` */
  static async open(url: string, given: RedisDataOptions = {}): Promise<RedisDataStore> {
    const options = { deadlineMs: defaultDeadlineMs, ...given }
    const link = await openLink(url, options)
    if ((options.replicas ?? 0) === 0) return new RedisDataStore({ link, changes: link }, options)
    try {
      return new RedisDataStore({ link, changes: await openLink(url, options) }, options)
    } catch (error) {
      await link.close()
      throw error
    }
  }

  read(owner: DataOwner, fields: readonly string[] | 'all', _nowMs: number) {
    const key = keyOf(owner)
    return this.#link.run(async (call) => {
      if (fields === 'all') return toFields(pairs(await call.command(key, ['HGETALL', key])))
      if (fields.length === 0) return new Map<string, StoredField>()
      const values = (await call.command(key, ['HMGET', key, ...fields])) as (Buffer | null)[]
      return toFields(fields.map((field, at) => [field, values[at] ?? null]))
    })
  }

  async write(write: DataWrite): Promise<WriteOutcome> {
    const { owner, field, expected, version, value, fieldsMax, expiresAtMs } = write
    const args = [
      field,
      ...expectation(expected),
      version,
      value,
      String(fieldsMax),
      String(expiresAtMs),
    ]
    return (await this.#change(owner, writeFieldScript, args, true)) as WriteOutcome
  }

  async remove({ owner, field, expected }: DataRemoval): Promise<RemovalOutcome> {
    const args = [field, ...expectation(expected)]
    // The second time it would not find what the first has removed.
    const isRepeatable = expected === undefined
    return (await this.#change(owner, removeFieldScript, args, isRepeatable)) as RemovalOutcome
  }

  async touch(owner: DataOwner, expiresAtMs: number): Promise<void> {
    await this.#change(owner, touchFieldsScript, [String(expiresAtMs)], true)
  }

  async end(owner: DataOwner, untilMs: number, nowMs: number): Promise<void> {
    await this.#change(owner, endFieldsScript, [untilMs > nowMs ? String(untilMs) : ''], true)
  }

  async removeExpired(): Promise<boolean> {
    return false
  }

  async ping(): Promise<void> {
    await this.#link.run((call) => call.command('', ['PING']))
  }

  async close(): Promise<void> {
    await Promise.all([...new Set([this.#link, this.#changes])].map((link) => link.close()))
  }

  #change(
    owner: DataOwner,
    script: Script,
    args: readonly (string | Buffer)[],
    isRepeatable: boolean,
  ): Promise<string> {
    const key = keyOf(owner)
    const link = this.#changes
    return link.run(async (call) => {
      for (let isFirst = true; ; isFirst = false) {
        const { disturbances } = link
        const reply = String(await call.script(script, key, args, isRepeatable))
        // It may have been done the first time, and somebody else have built on it since.
        const isInDoubt = call.isInDoubt || !isFirst
        if (isInDoubt && inDoubt.has(reply)) throw unavailable(new Error(`It is ${reply} by now.`))
        if (this.#replicas === 0) return reply
        const wait = ['WAIT', String(this.#replicas), String(this.#replicasMs)]
        const reached = (await call.command(key, wait)) as number
        if (link.disturbances === disturbances) {
          if (reached >= this.#replicas) return reply
          throw unavailable(new Error(`Only ${reached} replicas have the change.`))
        }
        // Redis waits for what this connection has written, which may have been another one.
        if (!isRepeatable) throw unavailable(new Error('The connection was lost meanwhile.'))
      }
    })
  }
}

/** What says nothing about a write that was sent before, and not answered. */
const inDoubt: ReadonlySet<string> = new Set<WriteOutcome>(['conflict', 'full'])

function keyOf({ scope, id }: DataOwner): string {
  return `gp:d:${scope}:${id}`
}

function expectation(expected: Expected): [string, string] {
  if (expected === undefined) return ['any', '']
  return expected === null ? ['absent', ''] : ['is', expected]
}

/** A hash as Redis answers it: names and values by turns. */
function pairs(reply: RedisReply): [string, Buffer][] {
  const items = reply as readonly Buffer[]
  const found: [string, Buffer][] = []
  for (let at = 0; at + 1 < items.length; at += 2) {
    found.push([String(items[at]), items[at + 1] as Buffer])
  }
  return found
}

function toFields(entries: readonly (readonly [string, Buffer | null])[]) {
  const fields = new Map<string, StoredField>()
  for (const [field, bytes] of entries) {
    if (bytes === null || field === endedMark) continue
    const end = bytes.indexOf(0)
    fields.set(field, {
      version: bytes.toString('latin1', 0, end),
      value: bytes.subarray(end + 1),
    })
  }
  return fields
}
