import type { OneTimeUse } from '../one-time.ts'
import type {
  Revocation,
  RotationOutcome,
  RotationRequest,
  RotationResult,
  Session,
  SessionStore,
} from '../ports.ts'
import type { RedisCall } from './call.ts'
import { inChunks } from './chunks.ts'
import type { RedisLink } from './client.ts'
import { Endings } from './endings.ts'
import { RedisOneTimeValues } from './one-time.ts'
import { Changes, type ReplicaOptions } from './replicated-writes.ts'
import * as log from './revocation-log.ts'
import {
  decodeSession,
  encodeSession,
  isEndInDoubt,
  owesLogEntry,
  sessionKey,
} from './session-row.ts'
import { expiryMarginMs, indexScript, rotateScript } from './session-scripts.ts'

const keyPrefixLength = sessionKey('').length
/** Keys looked at in one step where all sessions are gone through. */
const scanCount = 200
/** How often they are gone through at most, while each time some are found that go on. */
const passesMax = 10

const userKey = (sub: string) => `gp:u:${sub}`

/**
 * Sessions in Redis 7 or later, or Valkey: one server, a Cluster, or what sentinels watch (url.ts).
 *
 * In a Cluster a session, the list of its user and the revocation log are on different slots, so
 * nothing changes two of them at once. What takes several steps is done in an order that leaves it
 * harmless to stop in between:
 *
 * - `create` writes the session, then notes its sid for the user. A session that is not noted is one
 *   whose tokens nobody was given, since the login has failed; it expires. And so a noted sid without
 *   a session is one that has ended, and may be struck out at any time.
 * - `revoke` and `revokeAll` write the log, then end the sessions. In between verifiers refuse access
 *   tokens of a session that still refreshes; the caller was told of a failure, and asks again.
 * - Reuse is found inside the script that ends the session, so the log comes second. The session
 *   remembers that it owes the log an entry, and until the log has it, every token that is presented
 *   is `reused` again, and the entry is written then.
 *
 * Redis replicates after it has answered, so a fail-over may lose the last writes. A rotation is made
 * good by the row "above *c*" of invariant 4, a login by another. A session whose end is lost goes on
 * until it is ended again, and one whose note is lost is missing from its user's list.
 *
 * With `replicas` none of this is lost but rotations, which do not wait: what begins or ends a session
 * is acknowledged when so many replicas have it. Until then its end is in doubt. It refreshes no
 * more, but counts as live otherwise, so that whoever asked, and was told of a failure, can ask again.
 */
export class RedisSessionStore implements SessionStore {
  readonly #link: RedisLink
  readonly #changes: Changes
  readonly #endings: Endings
  readonly #oneTime: RedisOneTimeValues

  private constructor(link: RedisLink, changes: Changes) {
    this.#link = link
    this.#changes = changes
    this.#endings = new Endings(changes)
    this.#oneTime = new RedisOneTimeValues(link, changes)
  }

  /** @throws `config_invalid`, `store_unavailable` */
  static async open(url: string, options: ReplicaOptions = {}): Promise<RedisSessionStore> {
    const { link, changes } = await Changes.open(url, options)
    return new RedisSessionStore(link, changes)
  }

  create(session: Session): Promise<void> {
    const { sid, sub, createdAtMs, expiresAtMs, endsAtMs } = session
    const expiry = String(expiresAtMs + expiryMarginMs)
    const [key, listKey] = [sessionKey(sid), userKey(sub)]
    return this.#changes.run((call) =>
      this.#changes.make(call, [key, listKey], async () => {
        await call.command(key, ['SET', key, encodeSession(session), 'PXAT', expiry])
        await call.script(indexScript, listKey, [sid, String(endsAtMs), String(createdAtMs)])
      }),
    )
  }

  async rotate({ sid, ...request }: RotationRequest): Promise<RotationResult> {
    const { generation, idempotencyKey, jkt, nowMs, policy } = request
    const times = [nowMs, policy.graceMs, policy.idleMs, policy.revokedKeptMs].map(String)
    const keyBytes = Buffer.from(jkt ?? '', 'base64url')
    const args = [String(generation), idempotencyKey ?? '', ...times, keyBytes]
    // Had the lost answer been a rotation, then without grace the same token again is reuse.
    const isRepeatable = policy.graceMs > 0
    const reply = await this.#link.run((call) =>
      call.script(rotateScript, sessionKey(sid), args, isRepeatable),
    )
    const [name, row] = reply as [Buffer, Buffer?]
    const outcome = String(name) as RotationOutcome
    if (row === undefined) return { outcome, session: null }
    const session = decodeSession(sid, row)
    if (outcome === 'reused' || isEndInDoubt(row)) {
      const { revokedAtMs } = session
      await this.#changes.run(async (call) => {
        await this.#endings.note(call, 'session', sid, revokedAtMs ?? nowMs, policy.revokedKeptMs)
        await this.#endings.end(call, [sid], nowMs, policy.revokedKeptMs)
      })
    }
    return { outcome, session }
  }

  find(sid: string, nowMs: number): Promise<Session | null> {
    return this.#link.run(async (call) => {
      const found = await this.#load(call, sid)
      return found !== null && isLive(found, nowMs) ? found.session : null
    })
  }

  listBySub(sub: string, nowMs: number): Promise<Session[]> {
    return this.#link.run(async (call) => {
      const sids = await this.#sidsOf(call, sub)
      const found = await inChunks(sids, (sid) => this.#load(call, sid))
      // An expired one stays: by a slower clock it may not be, and be refreshed.
      await this.#strikeOut(
        call,
        sub,
        sids.filter((_, n) => !found[n] || isOver(found[n])),
      )
      const live = found.filter((one) => one !== null).filter((one) => isLive(one, nowMs))
      return live
        .map(({ session }) => session)
        .toSorted((a, b) => b.createdAtMs - a.createdAtMs || (a.sid < b.sid ? -1 : 1))
    })
  }

  revoke(sid: string, nowMs: number, keptMs: number): Promise<boolean> {
    return this.#changes.run(async (call) => {
      const found = await this.#load(call, sid)
      if (found === null || nowMs >= found.session.expiresAtMs) return false
      if (
        isOver(found) &&
        !found.owesLogEntry &&
        !(await this.#endings.isLost(call, sid, nowMs, keptMs))
      ) {
        return false
      }
      await this.#endings.note(call, 'session', sid, nowMs, keptMs)
      const [isEnded = false] = await this.#endings.end(call, [sid], nowMs, keptMs)
      await this.#strikeOut(call, found.session.sub, [sid])
      return isEnded
    })
  }

  revokeAll(sub: string, nowMs: number, keptMs: number): Promise<number> {
    return this.#changes.run(async (call) => {
      // With no live session too: an access token may outlive the session that it came from.
      await this.#endings.note(call, 'user', sub, nowMs, keptMs)
      const sids = await this.#sidsOf(call, sub)
      const areEnded = await this.#endings.end(call, sids, nowMs, keptMs)
      const ended = sids.filter((_, n) => areEnded[n])
      await this.#strikeOut(call, sub, ended)
      return ended.length
    })
  }

  async *endCreatedBefore(
    beforeMs: number,
    nowMs: number,
    keptMs: number,
  ): AsyncGenerator<string[]> {
    // A scan may miss a key that moves to another node meanwhile, so another one follows.
    for (let pass = 0, isClean = false; pass < passesMax && !isClean; pass++) {
      isClean = true
      for await (const keys of this.#scanSessions()) {
        const sids = await this.#changes.run(async (call) => {
          const found = await inChunks(keys, (key) => this.#load(call, key.slice(keyPrefixLength)))
          const live = found
            .filter((one) => one !== null)
            .filter((one) => isLive(one, nowMs) && one.session.createdAtMs < beforeMs)
            .map(({ session }) => session)
          const sids = live.map(({ sid }) => sid)
          const areEnded = await this.#endings.end(call, sids, nowMs, keptMs)
          await inChunks(live, ({ sub, sid }) => this.#strikeOut(call, sub, [sid]))
          return sids.filter((_, n) => areEnded[n])
        })
        if (sids.length === 0) continue
        isClean = false
        yield sids
      }
    }
  }

  revocationsAfter(position: string, limit: number): Promise<Revocation[]> {
    return this.#link.run((call) => log.entriesAfter(call, position, limit))
  }

  revokeEverybody(nowMs: number, keptMs: number): Promise<void> {
    return this.#changes.run((call) => this.#endings.note(call, 'all', '', nowMs, keptMs))
  }

  revokeKey(kid: string, nowMs: number, keptMs: number): Promise<void> {
    return this.#changes.run((call) => this.#endings.note(call, 'key', kid, nowMs, keptMs))
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

  claimOnce(id: string, expiresAtMs: number): Promise<boolean> {
    return this.#oneTime.claim(id, expiresAtMs)
  }

  /** Log entries only: Redis removes sessions and one-time values by itself. */
  removeExpired(nowMs: number, limit: number): Promise<boolean> {
    return this.#link.run((call) => log.removeExpired(call, nowMs, limit))
  }

  clockMs(): Promise<number> {
    return this.#link.run(log.clockMs)
  }

  ping(): Promise<void> {
    return this.#link.run(log.probe)
  }

  close(): Promise<void> {
    return this.#link.close()
  }

  /** The keys of all sessions, some at a time, of one primary after the other. */
  async *#scanSessions(): AsyncGenerator<string[]> {
    for (const primary of await this.#link.primaries()) {
      let cursor = '0'
      do {
        const scan = ['SCAN', cursor, 'MATCH', sessionKey('*'), 'COUNT', String(scanCount)]
        const reply = await this.#link.run((call) => call.command({ primary }, scan))
        const [next, keys] = reply as [Buffer, Buffer[]]
        if (keys.length > 0) yield keys.map(String)
        cursor = String(next)
      } while (cursor !== '0')
    }
  }

  async #load(call: RedisCall, sid: string): Promise<Found | null> {
    const key = sessionKey(sid)
    const row = (await call.command(key, ['GET', key])) as Buffer | null
    if (row === null) return null
    return {
      session: decodeSession(sid, row),
      isInDoubt: isEndInDoubt(row),
      owesLogEntry: owesLogEntry(row),
    }
  }

  async #sidsOf(call: RedisCall, sub: string): Promise<string[]> {
    const key = userKey(sub)
    const sids = await call.command(key, ['ZRANGE', key, '0', '-1'])
    return (sids as Buffer[]).map(String)
  }

  async #strikeOut(call: RedisCall, sub: string, sids: readonly string[]): Promise<void> {
    const key = userKey(sub)
    if (sids.length > 0) await call.command(key, ['ZREM', key, ...sids])
  }
}

interface Found {
  readonly session: Session
  readonly isInDoubt: boolean
  readonly owesLogEntry: boolean
}

/** Whether it has ended, beyond doubt. */
function isOver({ session, isInDoubt }: Found): boolean {
  return session.revokedAtMs !== null && !isInDoubt
}

function isLive(found: Found, nowMs: number): boolean {
  return !isOver(found) && nowMs < found.session.expiresAtMs
}
