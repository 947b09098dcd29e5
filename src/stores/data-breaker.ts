import type { Clock } from '../core/clock.ts'
import { isGatepassError } from '../core/errors.ts'
import { Breaker } from './breaker.ts'
import type { DataStore } from './data-store.ts'

/** Short, because each call that is let through may take the whole deadline. */
const limits = { failuresMax: 5, firstOpenMs: 500, openMsMax: 10_000 }

/**
 * A store that refuses at once while it has not answered lately, rather than keep every request
 * waiting for its deadline. One call at a time finds out whether it answers again.
 */
export function withBreaker(store: DataStore, clock: Clock): DataStore {
  if (store.guardsItself) return store
  const isFailure = (error: unknown) => isGatepassError(error, 'store_unavailable')
  const breaker = new Breaker({ ...limits, clock, isFailure })
  const guarded =
    <A extends unknown[], T>(call: (...args: A) => Promise<T>) =>
    (...args: A) =>
      breaker.run(() => call.apply(store, args))
  return {
    promises: store.promises,
    read: guarded(store.read),
    write: guarded(store.write),
    remove: guarded(store.remove),
    touch: guarded(store.touch),
    end: guarded(store.end),
    removeExpired: guarded(store.removeExpired),
    ping: () => store.ping(),
    close: () => store.close(),
  }
}
