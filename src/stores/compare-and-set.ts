import { setTimeout as sleep } from 'node:timers/promises'
import { backoffMs } from '../core/backoff.ts'

/** Delay before a change is decided again, so that concurrent changes get their turns. */
const retryDelay = { minMs: 1, maxMs: 50 }

/** A value in a store, which other processes change as well. */
export interface StoredValue<T> {
  /** Returns the value, or null if there is none. */
  load(): Promise<T | null>
  /** Replaces `before` unless somebody has changed it. Returns whether `after` is stored. */
  replace(before: T, after: T): Promise<boolean>
}

/**
 * Changes a stored value as one atomic step. A decision counts only if the stored value is still the one
 * that it was based on. Otherwise the value is read and decided again.
 *
 * @param decide returns the value `after` the change; the same object leaves the value as it is
 * @param known what was read a moment ago. Saves a read unless the value has changed since.
 * @returns the decision that counts, or null if there is no value
 */
export async function compareAndSet<T extends object, D extends { readonly after: T }>(
  { load, replace }: StoredValue<T>,
  decide: (before: T) => D,
  known: T | null = null,
): Promise<D | null> {
  for (let attempt = 0; ; attempt++) {
    const isKnown = attempt === 0 && known !== null
    const before = isKnown ? known : await load()
    if (before === null) return null
    const decision = decide(before)
    const isUnchanged = decision.after === before
    // A known value may have changed, so it is read before a decision counts that stores nothing.
    if (isUnchanged ? !isKnown : await replace(before, decision.after)) return decision
    if (attempt > 0) await sleep(backoffMs(attempt, retryDelay))
  }
}
