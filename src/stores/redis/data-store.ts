import { Batcher } from '../batcher.ts'
import {
  anyVersion,
  type DataOwner,
  type DataRemoval,
  type DataStore,
  type DataWrite,
  type Expected,
  type RemovalOutcome,
  type StoredField,
  type WriteOutcome,
} from '../data-store.ts'
import { defineScript, type RedisCall, RedisClient, type RedisOptions } from './client.ts'
import { isErrorReply, type RedisReply, unavailable } from './connection.ts'
import { ReplicatedWriter } from './replicated-writer.ts'

/** Limits of one script: others do not wait long for it, and the next one is prepared meanwhile. */
const maxOwnersPerScript = 32
const maxBytesPerScript = 256 * 1024
/** The part of its deadline that a change may wait for another one. */
const holdShare = 0.1

type Fields = Map<string, StoredField>

interface FieldsRead {
  readonly key: string
  readonly fields: readonly string[]
}

interface EndedOwner {
  readonly key: string
  /** Until when writes are refused, in milliseconds, or ''. */
  readonly until: string
}

/**
 * Session data in Redis 7 or later, or Valkey: one server, a Cluster, or a primary behind sentinels.
 * Without a Cluster, the reads of one turn of the event loop share a call, and its changes share a
 * script. Without `replicas` a fail-over may lose the last changes; see docs/stores.md for the
 * settings of the server.
 */
export class RedisDataStore implements DataStore {
  readonly #client: RedisClient
  readonly #writer: ReplicatedWriter
  readonly #reads: Batcher<FieldsRead, Fields>
  readonly #writes: Batcher<DataWrite, WriteOutcome>
  readonly #ends: Batcher<EndedOwner, undefined>

  private constructor(client: RedisClient) {
    const maxItems = client.isCluster ? 1 : maxOwnersPerScript
    // The server runs no later change of the connection before replicas have confirmed this one.
    const maxHoldMs = client.replicas > 0 ? client.deadlineMs * holdShare : 0
    this.#client = client
    this.#writer = new ReplicatedWriter(client)
    this.#reads = new Batcher((reads) => this.#readBatch(reads), { maxItems })
    this.#writes = new Batcher((writes) => this.#writeBatch(writes), {
      maxItems,
      maxWeight: maxBytesPerScript,
      maxHoldMs,
    })
    this.#ends = new Batcher((owners) => this.#endBatch(owners), { maxItems })
  }

  /** @throws `config_invalid`, `store_unavailable` */
  static async open(url: string, options: RedisOptions = {}): Promise<RedisDataStore> {
    return new RedisDataStore(await RedisClient.open(url, options))
  }

  async read(owner: DataOwner, fields: readonly string[] | 'all', _nowMs: number): Promise<Fields> {
    const key = keyOf(owner)
    if (fields === 'all') {
      return fieldsOfHash(await this.#client.run((call) => call.command(key, ['HGETALL', key])))
    }
    return fields.length > 0 ? this.#reads.add({ key, fields }) : new Map()
  }

  write(write: DataWrite): Promise<WriteOutcome> {
    return this.#writes.add(write, write.value.length)
  }

  async remove({ owner, field, expected }: DataRemoval): Promise<RemovalOutcome> {
    const key = keyOf(owner)
    // A repeated removal would not find the version that the first one removed.
    const isRepeatable = expected === undefined
    const args = [field, preconditionOf(expected)]
    const { reply, mayHaveRunBefore } = await this.#change(
      key,
      (call) => call.script(removeFieldScript, key, args, isRepeatable),
      isRepeatable,
    )
    const outcome = toOutcome<RemovalOutcome>(reply, mayHaveRunBefore)
    if (outcome instanceof Error) throw outcome
    return outcome
  }

  async touch(owner: DataOwner, expiresAtMs: number): Promise<void> {
    const key = keyOf(owner)
    await this.#change(key, (call) => call.script(touchScript, key, [String(expiresAtMs)]))
  }

  async end(owner: DataOwner, untilMs: number, nowMs: number): Promise<void> {
    await this.#ends.add({ key: keyOf(owner), until: untilMs > nowMs ? String(untilMs) : '' })
  }

  async removeExpired(): Promise<boolean> {
    return false
  }

  close(): Promise<void> {
    for (const batcher of [this.#reads, this.#writes, this.#ends]) void batcher.flush()
    return this.#client.close()
  }

  #readBatch(reads: readonly FieldsRead[]): Promise<(Fields | Error)[]> {
    return this.#client.run((call) => Promise.all(reads.map((read) => readFields(call, read))))
  }

  async #writeBatch(writes: readonly DataWrite[]): Promise<(WriteOutcome | Error)[]> {
    const keys = writes.map(({ owner }) => keyOf(owner))
    const args = writes.flatMap((write) => [
      write.field,
      preconditionOf(write.expected),
      encodeField(write),
      String(write.maxFields),
      String(write.expiresAtMs),
    ])
    const [first = ''] = keys
    const { reply, mayHaveRunBefore } = await this.#change(first, (call) =>
      call.script(writeFieldsScript, keys, args),
    )
    return (reply as readonly (Buffer | Error)[]).map((one) =>
      one instanceof Error ? unavailable(one) : toOutcome(one, mayHaveRunBefore),
    )
  }

  async #endBatch(owners: readonly EndedOwner[]): Promise<undefined[]> {
    const keys = owners.map(({ key }) => key)
    const args = owners.map(({ until }) => until)
    await this.#change(keys[0] ?? '', (call) => call.script(endFieldsScript, keys, args))
    return owners.map(() => undefined)
  }

  /** @param key of the change; its other keys are on the same server */
  #change(
    key: string,
    send: (call: RedisCall) => Promise<RedisReply>,
    isRepeatable = true,
  ): Promise<{ readonly reply: RedisReply; readonly mayHaveRunBefore: boolean }> {
    const change = async (call: RedisCall, isFirst: boolean) => {
      const reply = await send(call)
      return { reply, mayHaveRunBefore: call.hasLostReply || !isFirst }
    }
    return this.#writer.change([key], change, isRepeatable)
  }
}

/**
 * Reads some fields of an owner. An error reply concerns this owner only. No script: it would copy each
 * value twice.
 */
async function readFields(call: RedisCall, { key, fields }: FieldsRead): Promise<Fields | Error> {
  try {
    const values = await call.command(key, ['HMGET', key, ...fields])
    return fieldsOfNames(fields, values as readonly (Buffer | null)[])
  } catch (error) {
    if (isErrorReply(error)) return unavailable(error)
    throw error
  }
}

/** Outcomes that the first attempt of a repeated change may have caused. */
const ambiguousOutcomes: ReadonlySet<string> = new Set<WriteOutcome>(['conflict', 'full'])

/** Returns an error if the first attempt of a repeated change may have caused this outcome. */
function toOutcome<T extends WriteOutcome | RemovalOutcome>(
  reply: RedisReply,
  mayHaveRunBefore: boolean,
): T | Error {
  const outcome = String(reply)
  if (!mayHaveRunBefore || !ambiguousOutcomes.has(outcome)) return outcome as T
  return unavailable(new Error(`The repeated change is answered ${outcome}.`))
}

function keyOf({ scope, id }: DataOwner): string {
  return `gp:d:${scope}:${id}`
}

/** The precondition as an argument of the scripts. */
function preconditionOf(expected: Expected): string {
  if (expected === undefined) return '*'
  if (expected === anyVersion) return '+'
  return expected === null ? '' : `=${expected}`
}

/** Reads the reply to HGETALL, in which names and values alternate. */
function fieldsOfHash(reply: RedisReply): Fields {
  const items = reply as readonly Buffer[]
  const fields: Fields = new Map()
  for (let at = 0; at + 1 < items.length; at += 2) {
    addField(fields, String(items[at]), items[at + 1] as Buffer)
  }
  return fields
}

function fieldsOfNames(names: readonly string[], values: readonly (Buffer | null)[]): Fields {
  const fields: Fields = new Map()
  for (const [at, name] of names.entries()) {
    const bytes = values[at] ?? null
    if (bytes !== null) addField(fields, name, bytes)
  }
  return fields
}

// A stored field is its version, a zero byte and its value.

function addField(fields: Fields, name: string, bytes: Buffer): void {
  if (name === endedMark) return
  const end = bytes.indexOf(0)
  const version = bytes.toString('latin1', 0, end)
  fields.set(name, { version, value: bytes.subarray(end + 1) })
}

function encodeField({ version, value }: DataWrite): Buffer {
  return Buffer.concat([Buffer.from(`${version}\0`, 'latin1'), value])
}

/** The field that marks the hash of an ended owner. No other field has this name. */
const endedMark = '!'

/** A function: whether a field has a version. */
const hasVersion = `
local function hasVersion(field, version)
  local length = #version
  return string.byte(field, length + 1) == 0 and string.sub(field, 1, length) == version
end
`

/**
 * Gets a field and checks the precondition: '*' for none, '' for absent, '+' for present, or '=' and the
 * version. Redis runs one script at a time and most of that is Lua, so the code calls and copies little.
 */
const check = `
local found = redis.pcall('HMGET', key, ARGV[at + 1], '${endedMark}')
if found.err then return found end
if found[2] then return 'ended' end
local current, expected = found[1], ARGV[at + 2]
local isExpected = expected == '*'
if expected == '' then
  isExpected = not current
elseif current and not isExpected then
  isExpected = expected == '+' or hasVersion(current, string.sub(expected, 2))
end
`

/**
 * KEYS the owners; ARGV for each the field, the precondition, the encoded field, the maximum number of
 * fields, and the expiry in ms. Returns an outcome or an error each. A repeated write succeeds.
 */
const writeFieldsScript = defineScript(`
${hasVersion}
local function write(key, at)
  ${check}
  local new = ARGV[at + 3]
  if not isExpected then return current == new and 'written' or 'conflict' end
  local others = current and 1 or redis.call('HLEN', key)
  if not current and others >= tonumber(ARGV[at + 4]) then return 'full' end
  redis.call('HSET', key, ARGV[at + 1], new)
  if others == 0 then
    redis.call('PEXPIREAT', key, ARGV[at + 5])
  else
    redis.call('PEXPIREAT', key, ARGV[at + 5], 'GT')
  end
  return 'written'
end
local answers = {}
for n, key in ipairs(KEYS) do answers[n] = write(key, 5 * (n - 1)) end
return answers
`)

/** KEYS[1] the owner; ARGV the field and the precondition. */
const removeFieldScript = defineScript(`
${hasVersion}
local key, at = KEYS[1], 0
${check}
if not isExpected then return 'conflict' end
return redis.call('HDEL', key, ARGV[1]) == 1 and 'removed' or 'absent'
`)

/** KEYS[1] the owner; ARGV the expiry. The mark of an ended owner does not stay longer. */
const touchScript = defineScript(`
if not redis.call('HMGET', KEYS[1], '${endedMark}')[1] then
  redis.call('PEXPIREAT', KEYS[1], ARGV[1], 'GT')
end
return 1
`)

/** KEYS the owners; ARGV for each until when writes are refused, in ms, or ''. */
const endFieldsScript = defineScript(`
for n, key in ipairs(KEYS) do
  redis.call('UNLINK', key)
  if ARGV[n] ~= '' then
    redis.call('HSET', key, '${endedMark}', '')
    redis.call('PEXPIREAT', key, ARGV[n])
  end
end
return 1
`)
