import type {
  DataOwner,
  DataRemoval,
  DataStore,
  DataWrite,
  RemovalOutcome,
  WriteOutcome,
} from '../data-store.ts'
import { Batcher } from './batcher.ts'
import type { RedisCall } from './call.ts'
import type { RedisLink } from './client.ts'
import type { RedisReply } from './connection.ts'
import {
  bytesOf,
  expectation,
  type Fields,
  fieldsOfHash,
  fieldsOfNames,
  lengthOf,
} from './data-fields.ts'
import {
  endFieldsScript,
  readFieldsScript,
  removeFieldScript,
  writeFieldsScript,
} from './data-scripts.ts'
import { unavailable } from './errors.ts'
import { Changes, type ReplicaOptions } from './replicated-writes.ts'
import { parseRedisUrl } from './url.ts'

/** A cart is no reason to keep a request waiting for long. */
const defaultDeadlineMs = 250
/**
 * What goes to Redis as one script, for which others don't wait long; and while it works on these, the
 * next ones are made ready.
 */
const ownersTogetherMax = 32
const fieldsTogetherMax = 256
const valueBytesTogetherMax = 256 * 1024

interface FieldsRead {
  readonly key: string
  readonly fields: readonly string[]
}

/**
 * Session data in Redis 7 or later, or Valkey: one server, a Cluster, or what sentinels watch
 * (url.ts). Redis removes by its own clock what has expired.
 *
 * What is asked in one turn of the event loop, of any owners, goes to Redis as one command, but in a
 * Cluster, where no two owners need be on one node.
 *
 * It keeps what it acknowledged as long as it is told to keep anything: with `appendonly yes` over a
 * restart, with `maxmemory-policy noeviction` when it is full. Without `replicas` a fail-over may lose
 * the last changes.
 */
export class RedisDataStore implements DataStore {
  readonly #link: RedisLink
  readonly #changes: Changes
  readonly #reads: Batcher<FieldsRead, Fields>
  readonly #writes: Batcher<DataWrite, WriteOutcome>

  private constructor(link: RedisLink, changes: Changes, itemsMax: number) {
    this.#link = link
    this.#changes = changes
    this.#reads = new Batcher((reads) => this.#readTogether(reads), {
      itemsMax,
      weightMax: fieldsTogetherMax,
    })
    this.#writes = new Batcher((writes) => this.#writeTogether(writes), {
      itemsMax,
      weightMax: valueBytesTogetherMax,
    })
  }

  /** @throws `config_invalid`, `store_unavailable` */
  static async open(url: string, given: ReplicaOptions = {}): Promise<RedisDataStore> {
    const options = { deadlineMs: defaultDeadlineMs, ...given }
    const itemsMax = parseRedisUrl(url).topology === 'cluster' ? 1 : ownersTogetherMax
    const { link, changes } = await Changes.open(url, options)
    return new RedisDataStore(link, changes, itemsMax)
  }

  async read(owner: DataOwner, fields: readonly string[] | 'all', _nowMs: number): Promise<Fields> {
    const key = keyOf(owner)
    if (fields === 'all') {
      return fieldsOfHash(await this.#link.run((call) => call.command(key, ['HGETALL', key])))
    }
    return fields.length > 0 ? this.#reads.add({ key, fields }, fields.length) : new Map()
  }

  write(write: DataWrite): Promise<WriteOutcome> {
    return this.#writes.add(write, write.value.length)
  }

  async remove({ owner, field, expected }: DataRemoval): Promise<RemovalOutcome> {
    const key = keyOf(owner)
    // The second time it would not find what the first has removed.
    const isRepeatable = expected === undefined
    const args = [field, expectation(expected)]
    const { reply, isInDoubt } = await this.#change(
      key,
      (call) => call.script(removeFieldScript, key, args, isRepeatable),
      isRepeatable,
    )
    const outcome = certain<RemovalOutcome>(reply, isInDoubt)
    if (outcome instanceof Error) throw outcome
    return outcome
  }

  async touch(owner: DataOwner, expiresAtMs: number): Promise<void> {
    const key = keyOf(owner)
    const command = ['PEXPIREAT', key, String(expiresAtMs), 'GT']
    await this.#change(key, (call) => call.command(key, command))
  }

  async end(owner: DataOwner, untilMs: number, nowMs: number): Promise<void> {
    const key = keyOf(owner)
    const args = [untilMs > nowMs ? String(untilMs) : '']
    await this.#change(key, (call) => call.script(endFieldsScript, key, args))
  }

  async removeExpired(): Promise<boolean> {
    return false
  }

  async ping(): Promise<void> {
    await this.#link.run((call) => call.command('', ['PING']))
  }

  close(): Promise<void> {
    return this.#link.close()
  }

  #readTogether(reads: readonly FieldsRead[]): Promise<(Fields | Error)[]> {
    return this.#link.run(async (call) => {
      const answers = await valuesOf(call, reads)
      return answers.map((values, n) => {
        if (values instanceof Error) return unavailable(values)
        return fieldsOfNames(reads[n]?.fields ?? [], values)
      })
    })
  }

  async #writeTogether(writes: readonly DataWrite[]): Promise<(WriteOutcome | Error)[]> {
    const keys = writes.map(({ owner }) => keyOf(owner))
    const args: (string | Buffer)[] = [bytesOf(writes)]
    for (const write of writes) {
      args.push(write.field, expectation(write.expected), String(lengthOf(write)))
      args.push(String(write.maxFields), String(write.expiresAtMs))
    }
    const [first = ''] = keys
    const { reply, isInDoubt } = await this.#change(first, (call) =>
      call.script(writeFieldsScript, keys, args),
    )
    return (reply as Answers<Buffer>).map((answer) =>
      answer instanceof Error ? unavailable(answer) : certain(answer, isInDoubt),
    )
  }

  /**
   * What Redis answered to a change, and whether it may have had it before.
   *
   * @param key of what is changed; other keys that are changed with it are on the same server
   */
  #change(
    key: string,
    send: (call: RedisCall) => Promise<RedisReply>,
    isRepeatable = true,
  ): Promise<{ readonly reply: RedisReply; readonly isInDoubt: boolean }> {
    return this.#changes.run((call) => {
      const write = async (isFirst: boolean) => {
        const reply = await send(call)
        return { reply, isInDoubt: call.isInDoubt || !isFirst }
      }
      return this.#changes.make(call, [key], write, isRepeatable)
    })
  }
}

/** Of a script that answers for each of its keys. */
type Answers<T> = readonly (T | Error)[]
type Values = readonly (Buffer | null)[]

async function valuesOf(call: RedisCall, reads: readonly FieldsRead[]): Promise<Answers<Values>> {
  const [only, ...others] = reads
  if (only !== undefined && others.length === 0) {
    return [(await call.command(only.key, ['HMGET', only.key, ...only.fields])) as Values]
  }
  const keys = reads.map(({ key }) => key)
  const args = reads.flatMap(({ fields }) => [String(fields.length), ...fields])
  return (await call.script(readFieldsScript, keys, args)) as Answers<Values>
}

/** What says nothing about a write that was sent before, and not answered. */
const inDoubt: ReadonlySet<string> = new Set<WriteOutcome>(['conflict', 'full'])

/** An outcome; or that it may have come about when the change was sent before, unheard. */
function certain<T extends WriteOutcome | RemovalOutcome>(
  reply: RedisReply,
  isInDoubt: boolean,
): T | Error {
  const outcome = String(reply)
  if (!isInDoubt || !inDoubt.has(outcome)) return outcome as T
  return unavailable(new Error(`It is ${outcome} by now.`))
}

function keyOf({ scope, id }: DataOwner): string {
  return `gp:d:${scope}:${id}`
}
