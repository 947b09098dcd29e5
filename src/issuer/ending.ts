import type { Clock } from '../core/clock.ts'
import type { SessionStore } from '../stores/ports.ts'

export interface EndingOptions {
  readonly sessions: Pick<SessionStore, 'listBySub' | 'revoke' | 'revokeAll'>
  readonly clock: Clock
  /** How long an ended session is told from an unknown one, and how long the log has it. */
  readonly revokedKeptMs: number
  /** Where each session has data of its own: told of each that was ended. */
  readonly onEnded?: ((sid: string) => void) | undefined
}

/**
 * Ends all sessions of a user; returns how many were live.
 *
 * Where sessions have data, each is ended and put into the log by itself first: who ends the data
 * later finds no other trace of them. One that begins meanwhile ends with the rest; it has no data
 * yet.
 */
export async function endAllOf(sub: string, options: EndingOptions): Promise<number> {
  const { sessions, clock, revokedKeptMs, onEnded } = options
  let count = 0
  if (onEnded !== undefined) {
    for (const { sid } of await sessions.listBySub(sub, clock.nowMs())) {
      if (!(await sessions.revoke(sid, clock.nowMs(), revokedKeptMs))) continue
      onEnded(sid)
      count += 1
    }
  }
  return count + (await sessions.revokeAll(sub, clock.nowMs(), revokedKeptMs))
}

export interface MassEndingOptions extends Pick<EndingOptions, 'clock' | 'revokedKeptMs'> {
  readonly sessions: Pick<SessionStore, 'endCreatedBefore' | 'revokeEverybody'>
  /** Ends what belongs to a batch of sessions that have ended. */
  readonly onEnded?: (sids: readonly string[]) => Promise<void>
}

/**
 * Ends all sessions that were created before a time; returns how many were live.
 *
 * One entry of the log ends every access token that was signed until then, also those of newer
 * sessions, whose clients refresh: an entry for each of a million sessions would be too much for
 * issuers and verifiers. It comes last, as a session may be refreshed until its turn comes.
 */
export async function endAllCreatedBefore(
  beforeMs: number,
  { sessions, clock, revokedKeptMs, onEnded }: MassEndingOptions,
): Promise<number> {
  let count = 0
  for await (const sids of sessions.endCreatedBefore(beforeMs, clock.nowMs(), revokedKeptMs)) {
    count += sids.length
    await onEnded?.(sids)
  }
  await sessions.revokeEverybody(clock.nowMs(), revokedKeptMs)
  return count
}
