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
import { Changes, type ReplicaOptions } from './changes.ts'
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
import type { Script } from './scripts.ts'

/** A cart is no reason to keep a request waiting for long. */
const defaultDeadlineMs = 250

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
  readonly #changes: Changes

  private constructor(link: RedisLink, changes: Changes) {
    this.#link = link
    this.#changes = changes
  }

  /** @throws `config_invalid`, `store_unavailable` */
  static async open(url: string, options: ReplicaOptions = {}): Promise<RedisDataStore> {
    const { link, changes } = await Changes.openBoth(url, {
      deadlineMs: defaultDeadlineMs,
      ...options,
    })
    return new RedisDataStore(link, changes)
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
    await Promise.all([this.#link.close(), this.#changes.close()])
  }

  #change(
    owner: DataOwner,
    script: Script,
    args: readonly (string | Buffer)[],
    isRepeatable: boolean,
  ): Promise<string> {
    const key = keyOf(owner)
    return this.#changes.run((call) => {
      const write = async (isFirst: boolean) => {
        const reply = String(await call.script(script, key, args, isRepeatable))
        // It may have been done the first time, and somebody else have built on it since.
        const isInDoubt = call.isInDoubt || !isFirst
        if (isInDoubt && inDoubt.has(reply)) throw unavailable(new Error(`It is ${reply} by now.`))
        return reply
      }
      return this.#changes.make(call, [key], write, isRepeatable)
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
