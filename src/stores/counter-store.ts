import { type RateLimiterAbstract, RateLimiterRes } from 'rate-limiter-flexible'
import { systemClock } from '../core/clock.ts'
import { storeUnavailable } from './store-errors.ts'

export interface Count {
  readonly count: number
  /** Time until the window ends and the count starts from zero. */
  readonly resetsInMs: number
}

/** The count after one event was added. */
export interface AddedCount extends Count {
  readonly isWithinLimit: boolean
  /** Takes the event back. A no-op once its window has ended. */
  takeBack(): Promise<void>
}

/**
 * Counts events by key, atomically for all processes, in windows that start with the first event and follow
 * the clock of the machine or of the store. Keys are opaque and have at most 64 characters. Every call
 * throws `store_unavailable` if the store does not respond.
 */
export interface Counter {
  /** Returns the count without changing it; null if there is none. */
  read(key: string): Promise<Count | null>
  /**
   * Adds one event.
   * @param windowSeconds the length of the window, if this event starts one
   */
  add(key: string, windowSeconds?: number): Promise<AddedCount>
  /** Sets the count to zero. */
  reset(key: string): Promise<void>
}

export interface CounterOptions {
  /** Separates the keys of this counter from those of other counters in the same store. */
  readonly name: string
  readonly limit: number
  readonly windowSeconds: number
}

export interface CounterStore {
  counter(options: CounterOptions): Counter
  close(): Promise<void>
}

/**
 * A window that ends later than this beyond its whole length was dated by a clock that was ahead. It does not
 * count, or it would lock a user out for as long as that clock was ahead.
 */
export const windowMarginMs = 60_000

/**
 * Creates a counter on a limiter of rate-limiter-flexible, which implements the window per store.
 *
 * @param takeBack takes back one event of a key of the store, and removes a count of zero. Otherwise logins
 *   that are refused under overload would fill the store.
 */
export function createCounter(
  limiter: RateLimiterAbstract,
  takeBack: (storeKey: string) => Promise<void>,
): Counter {
  const isMisdated = ({ msBeforeNext }: RateLimiterRes) =>
    msBeforeNext > limiter.msDuration + windowMarginMs
  /** Adds an event. The library rejects with the count when the limit is exceeded. */
  const consume = async (key: string, options: object) => {
    try {
      return { result: await limiter.consume(key, 1, options), isWithinLimit: true }
    } catch (error) {
      if (error instanceof RateLimiterRes) return { result: error, isWithinLimit: false }
      return throwUnavailable(error)
    }
  }
  const toAdded = (key: string, { result, isWithinLimit }: Consumed): AddedCount => {
    const endsAtMs = systemClock.nowMs() + result.msBeforeNext
    return {
      ...toCount(result),
      isWithinLimit,
      async takeBack() {
        if (systemClock.nowMs() < endsAtMs) await takeBack(limiter.getKey(key))
      },
    }
  }
  return {
    async read(key) {
      const found = await limiter.get(key).catch(throwUnavailable)
      return found === null || isMisdated(found) ? null : toCount(found)
    },
    async add(key, windowSeconds) {
      const options = windowSeconds === undefined ? {} : { customDuration: windowSeconds }
      const added = await consume(key, options)
      if (!isMisdated(added.result)) return toAdded(key, added)
      await limiter.delete(key).catch(throwUnavailable)
      return toAdded(key, await consume(key, options))
    },
    async reset(key) {
      await limiter.delete(key).catch(throwUnavailable)
    },
  }
}

interface Consumed {
  readonly result: RateLimiterRes
  readonly isWithinLimit: boolean
}

function toCount({ consumedPoints, msBeforeNext }: RateLimiterRes): Count {
  return { count: consumedPoints, resetsInMs: msBeforeNext }
}

function throwUnavailable(error: unknown): never {
  throw storeUnavailable(error)
}
