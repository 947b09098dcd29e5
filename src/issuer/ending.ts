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
