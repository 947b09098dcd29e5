import { Batcher } from '../batcher.ts'
import { compareAndSet, type StoredValue } from '../compare-and-set.ts'
import {
  expiryMarginMs,
  type Revocation,
  type RotationRequest,
  type RotationResult,
  type Session,
  type SessionStore,
} from '../ports.ts'
import { decideRotation, revoke } from '../rotation.ts'
import { type RedisCall, RedisClient, type RedisOptions } from './client.ts'
import { unavailable } from './connection.ts'
import { RedisOneTimeStore } from './one-time.ts'
import * as log from './revocation-log.ts'
import {
  addToListScript,
  decodeRow,
  encodeHead,
  encodeRow,
  replaceScript,
  type StoredSession,
  sessionKey,
  toStored,
} from './session-row.ts'

/** Sessions of a user that are read or written at the same time. */
const maxConcurrent = 200
/** Sessions of one command: others do not wait long for it, and the next one is prepared meanwhile. */
const maxSessionsPerCommand = 32

const keyPrefixLength = sessionKey('').length
/** Keys per step of a scan of all sessions. */
const scanCount = 200
/** Scans of all sessions, at most, while each finds live ones. */
const maxScans = 10

/** The list of a user's sessions: a sorted set of their sids. */
const listKey = (sub: string) => `gp:u:${sub}`

/** A change of a row that a rotation has decided on. */
interface Replacement {
  readonly before: StoredSession
  readonly after: StoredSession
  /** Whether it may be sent again if the reply is lost. */
  readonly isRepeatable: boolean
}

/**
 * Sessions in Redis 7 or later, or Valkey: one server, a Cluster, or a primary behind sentinels. A call
 * takes several steps, and any prefix of them is harmless; see docs/architecture.md, "Sessions in Redis".
 * Without a Cluster, refreshes of one turn of the event loop read and replace their rows together.
 */
export class RedisSessionStore extends RedisOneTimeStore implements SessionStore {
  readonly #reads: Batcher<string, StoredSession | null>
  readonly #replacements: Batcher<Replacement, boolean>

  private constructor(client: RedisClient) {
    super(client)
    const maxItems = client.isCluster ? 1 : maxSessionsPerCommand
    this.#reads = new Batcher((sids) => this.#readBatch(sids), { maxItems })
    this.#replacements = new Batcher((changes) => this.#replaceBatch(changes), { maxItems })
  }

  /** @throws `config_invalid`, `store_unavailable` */
  static async open(url: string, options: RedisOptions = {}): Promise<RedisSessionStore> {
    return new RedisSessionStore(await RedisClient.open(url, options))
  }

  create(session: Session): Promise<number> {
    const { sid, sub, createdAtMs, expiresAtMs, endsAtMs } = session
    const expiry = String(expiresAtMs + expiryMarginMs)
    const [key, list] = [sessionKey(sid), listKey(sub)]
    return this.writer.change([key, list], async (call) => {
      await call.command(key, ['SET', key, encodeRow(toStored(session)), 'PXAT', expiry])
      const args = [sid, String(endsAtMs), String(createdAtMs)]
      return (await call.script(addToListScript, list, args)) as number
    })
  }

  async rotate(request: RotationRequest): Promise<RotationResult> {
    const { sid, found = null, nowMs, policy } = request
    const { graceMs, revokedKeptMs: keptMs } = policy
    // Without a grace period, a repeated rotation whose reply was lost would count as reuse.
    const isRepeatable = graceMs > 0
    const row = {
      load: () => this.#reads.add(sid),
      replace: (before: StoredSession, after: StoredSession) =>
        this.#replacements.add({ before, after, isRepeatable }),
    }
    const decide = (before: StoredSession) => decideStored(before, request)
    const decision = await compareAndSet(row, decide, found && toStored(found))
    if (decision === null) return { outcome: 'unknown', session: null }
    const { outcome, after } = decision
    const { session } = after
    if (outcome === 'reused' || after.isEndUnconfirmed) {
      const atMs = session.revokedAtMs ?? nowMs
      await this.writer.run(async (call) => {
        await this.#appendToLog(call, { kind: 'session', id: sid, atMs, keptMs })
        await this.#end(call, [after], nowMs, keptMs)
      })
    }
    return { outcome, session }
  }

  async find(sid: string, nowMs: number): Promise<Session | null> {
    const found = await this.#reads.add(sid)
    return found !== null && isLive(found, nowMs) ? found.session : null
  }

  listBySub(sub: string, nowMs: number): Promise<Session[]> {
    return this.client.run(async (call) => {
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
    return this.writer.run(async (call) => {
      const found = await this.#load(call, sid)
      if (found === null || nowMs >= found.session.expiresAtMs) return false
      const hasEnded = isEnded(found) && !found.lacksLogEntry
      if (hasEnded && !(await this.#isEndLost(call, found, nowMs, keptMs))) return false
      await this.#appendToLog(call, { kind: 'session', id: sid, atMs: nowMs, keptMs })
      const ended = await this.#end(call, [found], nowMs, keptMs)
      await this.#removeFromList(call, found.session.sub, [sid])
      return ended.length > 0
    })
  }

  revokeAll(sub: string, nowMs: number, keptMs: number): Promise<number> {
    return this.writer.run(async (call) => {
      // The entry is written without a live session too, because an access token may outlive its
      // session.
      await this.#appendToLog(call, { kind: 'user', id: sub, atMs: nowMs, keptMs })
      const stored = await this.#loadAll(call, await this.#sidsOf(call, sub))
      const ended = await this.#end(call, stored, nowMs, keptMs)
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
      for await (const sids of this.#scanSessions()) {
        const revoked = await this.writer.run(async (call) => {
          const found = await this.#loadAll(call, sids)
          const live = found.filter(
            (one) => isLive(one, nowMs) && one.session.createdAtMs < beforeMs,
          )
          const ended = await this.#end(call, live, nowMs, keptMs)
          await inChunks(live, ({ session: { sub, sid } }) =>
            this.#removeFromList(call, sub, [sid]),
          )
          return ended
        })
        if (revoked.length === 0) continue
        isClean = false
        yield revoked
      }
    }
  }

  revocationsAfter(position: string, limit: number): Promise<Revocation[]> {
    return this.client.run((call) => log.entriesAfter(call, position, limit))
  }

  appendRevocation(
    kind: Revocation['kind'],
    id: string,
    nowMs: number,
    keptMs: number,
  ): Promise<void> {
    return this.writer.run((call) => this.#appendToLog(call, { kind, id, atMs: nowMs, keptMs }))
  }

  /** Removes log entries only: Redis removes sessions and one-time values by itself. */
  removeExpired(nowMs: number, limit: number): Promise<boolean> {
    return this.client.run((call) => log.removeExpiredEntries(call, nowMs, limit))
  }

  clockMs(): Promise<number> {
    return this.client.run(log.logClockMs)
  }

  ping(): Promise<void> {
    return this.client.run(log.pingLog)
  }

  close(): Promise<void> {
    return this.client.close()
  }

  /** Yields the ids of all sessions, some at a time, of one primary after the other. */
  async *#scanSessions(): AsyncGenerator<string[]> {
    for (const primary of await this.client.primaries()) {
      let cursor = '0'
      do {
        const scan = ['SCAN', cursor, 'MATCH', sessionKey('*'), 'COUNT', String(scanCount)]
        const reply = await this.client.run((call) => call.command({ primary }, scan))
        const [next, keys] = reply as [Buffer, Buffer[]]
        if (keys.length > 0) yield keys.map((key) => String(key).slice(keyPrefixLength))
        cursor = String(next)
      } while (cursor !== '0')
    }
  }

  async #load(call: RedisCall, sid: string): Promise<StoredSession | null> {
    const key = sessionKey(sid)
    const row = (await call.command(key, ['GET', key])) as Buffer | null
    return row === null ? null : decodeRow(sid, row)
  }

  async #loadAll(call: RedisCall, sids: readonly string[]): Promise<StoredSession[]> {
    const found = await inChunks(sids, (sid) => this.#load(call, sid))
    return found.filter((one) => one !== null)
  }

  #readBatch(sids: readonly string[]): Promise<(StoredSession | null | Error)[]> {
    return this.client.run(async (call) => {
      const keys = sids.map(sessionKey)
      const rows = (await call.command(keys[0] ?? '', ['MGET', ...keys])) as (Buffer | null)[]
      return rows.map((row, n) => fromFoundRow(sids[n] ?? '', row))
    })
  }

  #replaceBatch(changes: readonly Replacement[]): Promise<boolean[]> {
    const isRepeatable = changes.every((change) => change.isRepeatable)
    return this.client.run((call) => replaceRows(call, changes, isRepeatable))
  }

  #stored(call: RedisCall, sid: string): StoredValue<StoredSession> {
    return {
      load: () => this.#load(call, sid),
      replace: async (before, after) => {
        const [isReplaced = false] = await replaceRows(call, [{ before, after }])
        return isReplaced
      },
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
    return this.writer.write(call, [log.logKey], () => log.appendEntry(call, entry))
  }

  /**
   * Ends sessions that have an entry in the log, with replicas in two confirmed steps.
   * @returns the ids of those that were live
   */
  async #end(
    call: RedisCall,
    stored: readonly StoredSession[],
    nowMs: number,
    keptMs: number,
  ): Promise<string[]> {
    const end = (known: readonly StoredSession[], isConfirmed: boolean) =>
      this.#writeEnds(call, known, (before) => decideEnd(before, { nowMs, keptMs, isConfirmed }))
    const decisions = await end(stored, !this.writer.isReplicated)
    if (this.writer.isReplicated)
      await end(
        decisions.map(({ after }) => after),
        true,
      )
    return decisions.filter(({ wasLive }) => wasLive).map(({ after }) => after.session.sid)
  }

  /**
   * Whether a fail-over lost the end of a session that had ended. Replicas may not have the end
   * yet, and a repeated sign-out must not succeed before they do.
   */
  async #isEndLost(call: RedisCall, known: StoredSession, nowMs: number, keptMs: number) {
    if (!this.writer.isReplicated) return false
    const [decision] = await this.#writeEnds(call, [known], (before) =>
      decideEnd(before, { nowMs, keptMs, isConfirmed: false }),
    )
    return decision?.wasLive ?? false
  }

  async #writeEnds(
    call: RedisCall,
    known: readonly StoredSession[],
    decide: (before: StoredSession) => EndDecision,
  ): Promise<EndDecision[]> {
    const keys = known.map(({ session }) => sessionKey(session.sid))
    const decisions = await this.writer.write(call, keys, () =>
      inChunks(known, (one) => compareAndSet(this.#stored(call, one.session.sid), decide, one)),
    )
    return decisions.filter((decision) => decision !== null)
  }
}

/** Returns a session, or an error if it cannot be read, which concerns no other session. */
function fromFoundRow(sid: string, row: Buffer | null): StoredSession | null | Error {
  try {
    return row === null ? null : decodeRow(sid, row)
  } catch (error) {
    return unavailable(error)
  }
}

/** Replaces rows that nobody has changed. Returns whether each was replaced. */
async function replaceRows(
  call: RedisCall,
  changes: readonly Pick<Replacement, 'before' | 'after'>[],
  isRepeatable = true,
): Promise<boolean[]> {
  const keys = changes.map(({ after }) => sessionKey(after.session.sid))
  const args: (string | Buffer)[] = []
  const heads: Buffer[] = []
  for (const { before, after } of changes) {
    const [expected, next] = [encodeHead(before), encodeHead(after)]
    heads.push(expected, next)
    args.push(String(expected.length), String(next.length), String(after.session.expiresAtMs))
  }
  args.push(Buffer.concat(heads))
  const replies = (await call.script(replaceScript, keys, args, isRepeatable)) as number[]
  return replies.map((reply) => reply === 1)
}

/** Decides a rotation. A reused session stays `reused` until the revocation log has an entry for it. */
function decideStored(before: StoredSession, request: RotationRequest) {
  const { outcome, session } = decideRotation(before.session, request)
  if (outcome === 'reused') return { outcome, after: toStored(session, { lacksLogEntry: true }) }
  if (outcome === 'revoked' && before.lacksLogEntry) {
    return { outcome: 'reused', after: before } as const
  }
  return { outcome, after: session === before.session ? before : toStored(session) }
}

interface EndDecision {
  /** Whether the session was live or its end unconfirmed, also when this call is repeated. */
  readonly wasLive: boolean
  readonly after: StoredSession
}

interface End {
  readonly nowMs: number
  readonly keptMs: number
  /** Whether replicas have the end already. */
  readonly isConfirmed: boolean
}

/** Decides the end of a session that has an entry in the revocation log. */
function decideEnd(before: StoredSession, { nowMs, keptMs, isConfirmed }: End): EndDecision {
  const { session, lacksLogEntry, isEndUnconfirmed } = before
  if (session.revokedAtMs === null) {
    if (nowMs >= session.expiresAtMs) return { wasLive: false, after: before }
    const ended = revoke(session, nowMs, keptMs)
    return { wasLive: true, after: toStored(ended, { isEndUnconfirmed: !isConfirmed }) }
  }
  const isUnfinished = lacksLogEntry || isEndUnconfirmed
  const wasLive = isUnfinished || session.revokedAtMs === nowMs
  // Written again as it is, so that `WAIT` covers the row.
  if (!isConfirmed) return { wasLive, after: toStored(session, before) }
  return { wasLive, after: isUnfinished ? toStored(session) : before }
}

/** Whether the session has ended, and replicas have confirmed that. */
function isEnded({ session, isEndUnconfirmed }: StoredSession): boolean {
  return session.revokedAtMs !== null && !isEndUnconfirmed
}

function isLive(stored: StoredSession, nowMs: number): boolean {
  return !isEnded(stored) && nowMs < stored.session.expiresAtMs
}

/** Runs work for all items, `maxConcurrent` at a time. Returns the results in order. */
async function inChunks<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  for (let start = 0; start < items.length; start += maxConcurrent) {
    results.push(...(await Promise.all(items.slice(start, start + maxConcurrent).map(work))))
  }
  return results
}
