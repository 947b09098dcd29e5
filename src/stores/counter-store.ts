import { type RateLimiterAbstract, RateLimiterRes } from 'rate-limiter-flexible'
import { systemClock } from '../core/clock.ts'
import { storeUnavailable } from './in-flight-calls.ts'

/** The count of a key. */
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

/** Creates a counter on a limiter of rate-limiter-flexible, which implements the window per store. */
export function createCounter(limiter: RateLimiterAbstract): Counter {
  const toAdded = (key: string, result: RateLimiterRes, isWithinLimit: boolean): AddedCount => {
    const endsAtMs = systemClock.nowMs() + result.msBeforeNext
    return {
      ...toCount(result),
      isWithinLimit,
      async takeBack() {
        if (systemClock.nowMs() >= endsAtMs) return
        const { consumedPoints } = await limiter.reward(key).catch(throwUnavailable)
        // A reset has already removed the event, and a count must not start below zero.
        if (consumedPoints < 0) await limiter.penalty(key).catch(throwUnavailable)
      },
    }
  }
  return {
    async read(key) {
      const found = await limiter.get(key).catch(throwUnavailable)
      return found === null ? null : toCount(found)
    },
    async add(key, windowSeconds) {
      const options = windowSeconds === undefined ? {} : { customDuration: windowSeconds }
      try {
        return toAdded(key, await limiter.consume(key, 1, options), true)
      } catch (error) {
        // The library rejects with the count when the limit is exceeded.
        if (error instanceof RateLimiterRes) return toAdded(key, error, false)
        return throwUnavailable(error)
      }
    },
    async reset(key) {
      await limiter.delete(key).catch(throwUnavailable)
    },
  }
}

function toCount({ consumedPoints, msBeforeNext }: RateLimiterRes): Count {
  return { count: consumedPoints, resetsInMs: msBeforeNext }
}

function throwUnavailable(error: unknown): never {
  throw storeUnavailable(error)
}
