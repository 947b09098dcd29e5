import type {
  Revocation,
  RotationOutcome,
  RotationRequest,
  RotationResult,
  Session,
  SessionStore,
} from '../ports.ts'
import type { RedisCall } from './call.ts'
import type { RedisLink } from './link.ts'
import { openLink, type RedisOptions } from './open.ts'
import * as log from './revocations.ts'
import { decodeSession, encodeSession } from './row.ts'
import { expiryMarginMs, indexScript, revokeScript, rotateScript } from './scripts.ts'

/** How many sessions of a user are asked for at once. */
const chunkLength = 200

const sessionKey = (sid: string) => `gp:s:${sid}`
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
 */
export class RedisSessionStore implements SessionStore {
  readonly #link: RedisLink

  private constructor(link: RedisLink) {
    this.#link = link
  }

  /** @throws `config_invalid`, `store_unavailable` */
  static async open(url: string, options: RedisOptions = {}): Promise<RedisSessionStore> {
    return new RedisSessionStore(await openLink(url, options))
  }

  create(session: Session): Promise<void> {
    const { sid, sub, createdAtMs, expiresAtMs, endsAtMs } = session
    const expiry = String(expiresAtMs + expiryMarginMs)
    return this.#link.run(async (call) => {
      const key = sessionKey(sid)
      await call.command(key, ['SET', key, encodeSession(session), 'PXAT', expiry])
      await call.script(indexScript, userKey(sub), [sid, String(endsAtMs), String(createdAtMs)])
    })
  }

  rotate({ sid, ...request }: RotationRequest): Promise<RotationResult> {
    const { generation, idempotencyKey, jkt, nowMs, policy } = request
    const times = [nowMs, policy.graceMs, policy.idleMs, policy.revokedKeptMs].map(String)
    const keyBytes = Buffer.from(jkt ?? '', 'base64url')
    const args = [String(generation), idempotencyKey ?? '', ...times, keyBytes]
    // Had the lost answer been a rotation, then without grace the same token again is reuse.
    const isRepeatable = policy.graceMs > 0
    return this.#link.run(async (call) => {
      const reply = await call.script(rotateScript, sessionKey(sid), args, isRepeatable)
      const [outcome, row] = reply as [Buffer, Buffer?]
      const session = row === undefined ? null : decodeSession(sid, row)
      const result = { outcome: String(outcome) as RotationOutcome, session }
      if (result.outcome === 'reused') {
        await log.append(call, 'session', sid, session?.revokedAtMs ?? nowMs, policy.revokedKeptMs)
        await this.#end(call, sid, nowMs, policy.revokedKeptMs)
      }
      return result
    })
  }

  find(sid: string, nowMs: number): Promise<Session | null> {
    return this.#link.run(async (call) => {
      const session = await this.#load(call, sid)
      return session !== null && isLive(session, nowMs) ? session : null
    })
  }

  listBySub(sub: string, nowMs: number): Promise<Session[]> {
    return this.#link.run(async (call) => {
      const sids = await this.#sidsOf(call, sub)
      const sessions = await inChunks(sids, (sid) => this.#load(call, sid))
      // An expired one stays: by a slower clock it may not be, and be refreshed.
      const ended = sids.filter((_, n) => !sessions[n] || sessions[n].revokedAtMs !== null)
      await this.#strikeOut(call, sub, ended)
      const live = sessions.filter((session) => session !== null && isLive(session, nowMs))
      return (live as Session[]).toSorted(
        (a, b) => b.createdAtMs - a.createdAtMs || (a.sid < b.sid ? -1 : 1),
      )
    })
  }

  revoke(sid: string, nowMs: number, keptMs: number): Promise<boolean> {
    return this.#link.run(async (call) => {
      const session = await this.#load(call, sid)
      if (session === null || !isLive(session, nowMs)) return false
      await log.append(call, 'session', sid, nowMs, keptMs)
      const isEnded = await this.#end(call, sid, nowMs, keptMs)
      await this.#strikeOut(call, session.sub, [sid])
      return isEnded
    })
  }

  revokeAll(sub: string, nowMs: number, keptMs: number): Promise<number> {
    return this.#link.run(async (call) => {
      // With no live session too: an access token may outlive the session that it came from.
      await log.append(call, 'user', sub, nowMs, keptMs)
      const sids = await this.#sidsOf(call, sub)
      const areEnded = await inChunks(sids, (sid) => this.#end(call, sid, nowMs, keptMs))
      const ended = sids.filter((_, n) => areEnded[n])
      await this.#strikeOut(call, sub, ended)
      return ended.length
    })
  }

  revocationsAfter(position: string, limit: number): Promise<Revocation[]> {
    return this.#link.run((call) => log.entriesAfter(call, position, limit))
  }

  revokeEverybody(nowMs: number, keptMs: number): Promise<void> {
    return this.#link.run((call) => log.append(call, 'all', '', nowMs, keptMs))
  }

  revokeKey(kid: string, nowMs: number, keptMs: number): Promise<void> {
    return this.#link.run((call) => log.append(call, 'key', kid, nowMs, keptMs))
  }

  /** Log entries only: sessions Redis removes by itself. */
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

  async #load(call: RedisCall, sid: string): Promise<Session | null> {
    const key = sessionKey(sid)
    const row = await call.command(key, ['GET', key])
    return row === null ? null : decodeSession(sid, row as Buffer)
  }

  /** Whether there was a live one to end. */
  async #end(call: RedisCall, sid: string, nowMs: number, keptMs: number): Promise<boolean> {
    const args = [String(nowMs), String(keptMs)]
    return (await call.script(revokeScript, sessionKey(sid), args)) === 1
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

function isLive(session: Session, nowMs: number): boolean {
  return session.revokedAtMs === null && nowMs < session.expiresAtMs
}

/** Does it for all of them in their order, and for a bounded number at once. */
async function inChunks<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  for (let start = 0; start < items.length; start += chunkLength) {
    results.push(...(await Promise.all(items.slice(start, start + chunkLength).map(work))))
  }
  return results
}
