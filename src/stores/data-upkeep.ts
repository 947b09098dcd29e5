import type { Clock } from '../core/clock.ts'
import { startSweep } from './cleanup.ts'
import { withBreaker } from './data-breaker.ts'
import type { DataStore } from './data-store.ts'
import { type DataStoreOptions, openDataStore } from './open-stores.ts'
import { openOrFollow } from './resilient-data-store.ts'

export interface KeptDataOptions extends Omit<DataStoreOptions, 'openMs'> {
  /** The folder that a relative path starts from. */
  readonly cwd: string
  readonly clock: Clock
  /** Told once, when the store was not there at first. */
  onAway(error: unknown): void
  /** Told of expired data that could not be removed now. */
  onSweepError(error: unknown): void
}

/** A store that a service works with, and what ends it together with its upkeep. */
export interface KeptDataStore {
  readonly store: DataStore
  close(): Promise<void>
}

/**
 * A store for a process that serves: left alone while it does not answer, and waited for where it is
 * away at the start. What has expired is removed in the background.
 *
 * @throws `config_invalid`, `migration_failed`
 */
export async function keepDataStore(url: string, options: KeptDataOptions): Promise<KeptDataStore> {
  const { cwd, clock, deadlineMs, replicas, onAway, onSweepError } = options
  const open = async () =>
    withBreaker(await openDataStore(url, cwd, { deadlineMs, replicas, openMs: 0 }), clock)
  const store = await openOrFollow(open, onAway)
  const sweep = startSweep(store, clock, onSweepError)
  return {
    store,
    close: async () => {
      sweep.stop()
      await store.close()
    },
  }
}
