import type {
  OneTimeUse,
  Revocation,
  RotationOutcome,
  RotationRequest,
  RotationResult,
  Session,
  SessionStore,
} from '../ports.ts'
import { type RedisCall, RedisClient, type Script } from './client.ts'
import { RedisOneTimeValues } from './one-time.ts'
import { type ReplicaOptions, ReplicatedWriter } from './replicated-writer.ts'
import * as log from './revocation-log.ts'
import {
  decodeSession,
  encodeSession,
  isEndUnconfirmed,
  lacksLogEntry,
  sessionKey,
} from './session-row.ts'
import {
  addToListScript,
  expiryMarginMs,
  revokeScript,
  revokeUnconfirmedScript,
  rotateScript,
} from './session-scripts.ts'

/** Sessions of a user that are read or written at the same time. */
const maxConcurrent = 200

const keyPrefixLength = sessionKey('').length
/** Keys per step of a scan of all sessions. */
const scanCount = 200
/** Scans of all sessions, at most, while each finds live ones. */
const maxScans = 10

/** The list of a user's sessions: a sorted set of their sids. */
const listKey = (sub: string) => `gp:u:${sub}`

/**
 * Sessions in Redis 7 or later, or Valkey: one server, a Cluster, or a primary behind sentinels. A call
 * takes several steps, and any prefix of them is harmless; see docs/architecture.md, "Sessions in Redis".
 */
export class RedisSessionStore implements SessionStore {
  readonly #client: RedisClient
  readonly #writer: ReplicatedWriter
  readonly #oneTime: RedisOneTimeValues

  private constructor(client: RedisClient, replicas: number) {
    this.#client = client
    this.#writer = new ReplicatedWriter(client, replicas)
    this.#oneTime = new RedisOneTimeValues(client, this.#writer)
  }

  /** @throws `config_invalid`, `store_unavailable` */
  static async open(url: string, options: ReplicaOptions = {}): Promise<RedisSessionStore> {
    const { replicas = 0, ...others } = options
    const client = await RedisClient.open(url, { ...others, hasReplicatedRole: replicas > 0 })
    return new RedisSessionStore(client, replicas)
  }

  create(session: Session): Promise<number> {
    const { sid, sub, createdAtMs, expiresAtMs, endsAtMs } = session
    const expiry = String(expiresAtMs + expiryMarginMs)
    const [key, list] = [sessionKey(sid), listKey(sub)]
    return this.#writer.run((call) =>
      this.#writer.write(call, [key, list], async () => {
        await call.command(key, ['SET', key, encodeSession(session), 'PXAT', expiry])
        const args = [sid, String(endsAtMs), String(createdAtMs)]
        return (await call.script(addToListScript, list, args)) as number
      }),
    )
  }

  async rotate({ sid, ...request }: RotationRequest): Promise<RotationResult> {
    const { generation, idempotencyKey, jkt, nowMs, policy } = request
    const times = [nowMs, policy.graceMs, policy.idleMs, policy.revokedKeptMs].map(String)
    const keyBytes = Buffer.from(jkt ?? '', 'base64url')
    const args = [String(generation), idempotencyKey ?? '', ...times, keyBytes]
    // Without a grace period, a repeated rotation whose reply was lost would count as reuse.
    const isRepeatable = policy.graceMs > 0
    const reply = await this.#client.run((call) =>
      call.script(rotateScript, sessionKey(sid), args, isRepeatable),
    )
    const [name, row] = reply as [Buffer, Buffer?]
    const outcome = String(name) as RotationOutcome
    if (row === undefined) return { outcome, session: null }
    const session = decodeSession(sid, row)
    if (outcome === 'reused' || isEndUnconfirmed(row)) {
      const { revokedAtMs } = session
      const keptMs = policy.revokedKeptMs
      await this.#writer.run(async (call) => {
        await this.#appendToLog(call, {
          kind: 'session',
          id: sid,
          atMs: revokedAtMs ?? nowMs,
          keptMs,
        })
        await this.#end(call, [sid], nowMs, keptMs)
      })
    }
    return { outcome, session }
  }

  find(sid: string, nowMs: number): Promise<Session | null> {
    return this.#client.run(async (call) => {
      const found = await this.#load(call, sid)
      return found !== null && isLive(found, nowMs) ? found.session : null
    })
  }

  listBySub(sub: string, nowMs: number): Promise<Session[]> {
    return this.#client.run(async (call) => {
      const sids = await this.#sidsOf(call, sub)
      const found = await inChunks(sids, (sid) => this.#load(call, sid))
      // An expired session stays in the list: by a slower clock it may be live, and be refreshed.
      const ended = sids.filter((_, n) => !found[n] || isEnded(found[n]))
      await this.#removeFromList(call, sub, ended)
      const live = found.filter((one) => one !== null).filter((one) => isLive(one, nowMs))
      return live
        .map(({ session }) => session)
        .toSorted((a, b) => b.createdAtMs - a.createdAtMs || (a.sid < b.sid ? -1 : 1))
    })
  }

  revoke(sid: string, nowMs: number, keptMs: number): Promise<boolean> {
    return this.#writer.run(async (call) => {
      const found = await this.#load(call, sid)
      if (found === null || nowMs >= found.session.expiresAtMs) return false
      if (
        isEnded(found) &&
        !found.lacksLogEntry &&
        !(await this.#isEndLost(call, sid, nowMs, keptMs))
      ) {
        return false
      }
      await this.#appendToLog(call, { kind: 'session', id: sid, atMs: nowMs, keptMs })
      const [wasLive = false] = await this.#end(call, [sid], nowMs, keptMs)
      await this.#removeFromList(call, found.session.sub, [sid])
      return wasLive
    })
  }

  revokeAll(sub: string, nowMs: number, keptMs: number): Promise<number> {
    return this.#writer.run(async (call) => {
      // The entry is written without a live session too, because an access token may outlive its
      // session.
      await this.#appendToLog(call, { kind: 'user', id: sub, atMs: nowMs, keptMs })
      const sids = await this.#sidsOf(call, sub)
      const wereLive = await this.#end(call, sids, nowMs, keptMs)
      const ended = sids.filter((_, n) => wereLive[n])
      await this.#removeFromList(call, sub, ended)
      return ended.length
    })
  }

  async *endCreatedBefore(
    beforeMs: number,
    nowMs: number,
    keptMs: number,
  ): AsyncGenerator<string[]> {
    // A scan may miss a key that moves to another node meanwhile, so another scan follows.
    for (let scans = 0, isClean = false; scans < maxScans && !isClean; scans++) {
      isClean = true
      for await (const keys of this.#scanSessions()) {
        const sids = await this.#writer.run(async (call) => {
          const found = await inChunks(keys, (key) => this.#load(call, key.slice(keyPrefixLength)))
          const live = found
            .filter((one) => one !== null)
            .filter((one) => isLive(one, nowMs) && one.session.createdAtMs < beforeMs)
            .map(({ session }) => session)
          const sids = live.map(({ sid }) => sid)
          const wereLive = await this.#end(call, sids, nowMs, keptMs)
          await inChunks(live, ({ sub, sid }) => this.#removeFromList(call, sub, [sid]))
          return sids.filter((_, n) => wereLive[n])
        })
        if (sids.length === 0) continue
        isClean = false
        yield sids
      }
    }
  }

  revocationsAfter(position: string, limit: number): Promise<Revocation[]> {
    return this.#client.run((call) => log.entriesAfter(call, position, limit))
  }

  revokeEverybody(nowMs: number, keptMs: number): Promise<void> {
    const entry = { kind: 'all', id: '', atMs: nowMs, keptMs } as const
    return this.#writer.run((call) => this.#appendToLog(call, entry))
  }

  logSession(sid: string, nowMs: number, keptMs: number): Promise<void> {
    const entry = { kind: 'session', id: sid, atMs: nowMs, keptMs } as const
    return this.#writer.run((call) => this.#appendToLog(call, entry))
  }

  revokeKey(kid: string, nowMs: number, keptMs: number): Promise<void> {
    const entry = { kind: 'key', id: kid, atMs: nowMs, keptMs } as const
    return this.#writer.run((call) => this.#appendToLog(call, entry))
  }

  putOneTime(id: string, payload: string, expiresAtMs: number): Promise<void> {
    return this.#oneTime.put(id, payload, expiresAtMs)
  }

  findOneTime(id: string, nowMs: number): Promise<string | null> {
    return this.#oneTime.find(id, nowMs)
  }

  takeOneTime(id: string, takenBy: string, nowMs: number): Promise<OneTimeUse> {
    return this.#oneTime.take(id, takenBy, nowMs)
  }

  deleteOneTime(id: string): Promise<void> {
    return this.#oneTime.delete(id)
  }

  claimOnce(id: string, expiresAtMs: number): Promise<boolean> {
    return this.#oneTime.claim(id, expiresAtMs)
  }

  /** Removes log entries only: Redis removes sessions and one-time values by itself. */
  removeExpired(nowMs: number, limit: number): Promise<boolean> {
    return this.#client.run((call) => log.removeExpiredEntries(call, nowMs, limit))
  }

  clockMs(): Promise<number> {
    return this.#client.run(log.logClockMs)
  }

  ping(): Promise<void> {
    return this.#client.run(log.pingLog)
  }

  close(): Promise<void> {
    return this.#client.close()
  }

  /** Yields the keys of all sessions, some at a time, of one primary after the other. */
  async *#scanSessions(): AsyncGenerator<string[]> {
    for (const primary of await this.#client.primaries()) {
      let cursor = '0'
      do {
        const scan = ['SCAN', cursor, 'MATCH', sessionKey('*'), 'COUNT', String(scanCount)]
        const reply = await this.#client.run((call) => call.command({ primary }, scan))
        const [next, keys] = reply as [Buffer, Buffer[]]
        if (keys.length > 0) yield keys.map(String)
        cursor = String(next)
      } while (cursor !== '0')
    }
  }

  async #load(call: RedisCall, sid: string): Promise<LoadedSession | null> {
    const key = sessionKey(sid)
    const row = (await call.command(key, ['GET', key])) as Buffer | null
    if (row === null) return null
    return {
      session: decodeSession(sid, row),
      isEndUnconfirmed: isEndUnconfirmed(row),
      lacksLogEntry: lacksLogEntry(row),
    }
  }

  async #sidsOf(call: RedisCall, sub: string): Promise<string[]> {
    const key = listKey(sub)
    const sids = await call.command(key, ['ZRANGE', key, '0', '-1'])
    return (sids as Buffer[]).map(String)
  }

  async #removeFromList(call: RedisCall, sub: string, sids: readonly string[]): Promise<void> {
    const key = listKey(sub)
    if (sids.length > 0) await call.command(key, ['ZREM', key, ...sids])
  }

  #appendToLog(call: RedisCall, entry: log.NewEntry): Promise<void> {
    return this.#writer.write(call, [log.logKey], () => log.appendEntry(call, entry))
  }

  /**
   * Ends sessions that have an entry in the log, with replicas in two confirmed steps. Returns for each
   * whether it was live.
   */
  async #end(
    call: RedisCall,
    sids: readonly string[],
    nowMs: number,
    keptMs: number,
  ): Promise<boolean[]> {
    const args = [String(nowMs), String(keptMs)]
    if (!this.#writer.isReplicated) return this.#runOnEach(call, revokeScript, sids, args)
    const wereLive = await this.#runOnEach(call, revokeUnconfirmedScript, sids, args)
    await this.#runOnEach(call, revokeScript, sids, args)
    return wereLive
  }

  /**
   * Whether a fail-over lost the end of a session that had ended. Replicas may not have the end
   * yet, and a repeated sign-out must not succeed before they do.
   */
  async #isEndLost(call: RedisCall, sid: string, nowMs: number, keptMs: number): Promise<boolean> {
    if (!this.#writer.isReplicated) return false
    const args = [String(nowMs), String(keptMs)]
    const [isLost = false] = await this.#runOnEach(call, revokeUnconfirmedScript, [sid], args)
    return isLost
  }

  #runOnEach(
    call: RedisCall,
    script: Script,
    sids: readonly string[],
    args: readonly string[],
  ): Promise<boolean[]> {
    const keys = sids.map(sessionKey)
    return this.#writer.write(call, keys, () =>
      inChunks(keys, async (key) => (await call.script(script, key, args)) === 1),
    )
  }
}

interface LoadedSession {
  readonly session: Session
  readonly isEndUnconfirmed: boolean
  readonly lacksLogEntry: boolean
}

/** Whether the session has ended, and replicas have confirmed that. */
function isEnded({ session, isEndUnconfirmed }: LoadedSession): boolean {
  return session.revokedAtMs !== null && !isEndUnconfirmed
}

function isLive(loaded: LoadedSession, nowMs: number): boolean {
  return !isEnded(loaded) && nowMs < loaded.session.expiresAtMs
}

/** Runs work for all items, `maxConcurrent` at a time. Returns the results in order. */
async function inChunks<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  for (let start = 0; start < items.length; start += maxConcurrent) {
    results.push(...(await Promise.all(items.slice(start, start + maxConcurrent).map(work))))
  }
  return results
}
