import type { RedisCall } from './call.ts'
import { inChunks } from './chunks.ts'
import type { Changes } from './replicated-writes.ts'
import * as log from './revocation-log.ts'
import { sessionKey } from './session-row.ts'
import { beginRevokeScript, revokeScript, type Script } from './session-scripts.ts'

/**
 * The steps by which sessions end, each of which replicas confirm, where they are to: that it is in the
 * log, that the session has ended, and that this is beyond doubt.
 */
export class Endings {
  readonly #changes: Changes

  constructor(changes: Changes) {
    this.#changes = changes
  }

  /** Puts it into the log. */
  note(call: RedisCall, ...entry: log.NewEntry): Promise<void> {
    return this.#changes.make(call, [log.key], () => log.append(call, ...entry))
  }

  /** Ends those that the log has heard of. Of each, whether there was a live one to end. */
  async end(
    call: RedisCall,
    sids: readonly string[],
    nowMs: number,
    keptMs: number,
  ): Promise<boolean[]> {
    const args = [String(nowMs), String(keptMs)]
    if (!this.#changes.areConfirmed) return this.#runAll(call, revokeScript, sids, args)
    const areBegun = await this.#runAll(call, beginRevokeScript, sids, args)
    await this.#runAll(call, revokeScript, sids, args)
    return areBegun
  }

  /**
   * Of a session that has ended, whether that is lost after all. Replicas may not have it yet: who
   * asks again is not told that it has ended before they do.
   */
  async isLost(call: RedisCall, sid: string, nowMs: number, keptMs: number): Promise<boolean> {
    if (!this.#changes.areConfirmed) return false
    const args = [String(nowMs), String(keptMs)]
    const [isLost = false] = await this.#runAll(call, beginRevokeScript, [sid], args)
    return isLost
  }

  #runAll(
    call: RedisCall,
    script: Script,
    sids: readonly string[],
    args: readonly string[],
  ): Promise<boolean[]> {
    const keys = sids.map(sessionKey)
    return this.#changes.make(call, keys, () =>
      inChunks(keys, async (key) => (await call.script(script, key, args)) === 1),
    )
  }
}
