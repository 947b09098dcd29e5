import type { Clock } from '../core/clock.ts'
import { isGatepassError } from '../core/errors.ts'
import { Breaker } from './circuit-breaker.ts'
import type { DataStore } from './data-store.ts'

/**
 * Each call that is let through may take the whole deadline. One a second is little; and after a fail-over
 * of a few seconds, every further one would be noticed.
 */
const limits = { failuresMax: 5, firstOpenMs: 500, openMsMax: 1_000 }

/**
 * A store that refuses at once while it has not answered lately, rather than keep every request
 * waiting for its deadline. One call at a time finds out whether it answers again, one that reads and
 * one that changes something.
 */
export function withBreaker(store: DataStore, clock: Clock): DataStore {
  if (store.guardsItself) return store
  const isFailure = (error: unknown) => isGatepassError(error, 'store_unavailable')
  const guardedBy = (breaker: Breaker) => {
    return <A extends unknown[], T>(call: (...args: A) => Promise<T>) =>
      (...args: A) =>
        breaker.run(() => call.apply(store, args))
  }
  const guarded = guardedBy(new Breaker({ ...limits, clock, isFailure }))
  // A store may have what can be read, and be in no state to acknowledge a change.
  const guardedChange = guardedBy(new Breaker({ ...limits, clock, isFailure }))
  return {
    promises: store.promises,
    read: guarded(store.read),
    write: guardedChange(store.write),
    remove: guardedChange(store.remove),
    touch: guardedChange(store.touch),
    end: guardedChange(store.end),
    removeExpired: guardedChange(store.removeExpired),
    ping: () => store.ping(),
    close: () => store.close(),
  }
}
