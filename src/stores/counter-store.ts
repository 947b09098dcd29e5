import { type RateLimiterAbstract, RateLimiterRes } from 'rate-limiter-flexible'
import { systemClock } from '../core/clock.ts'
import { GatepassError } from '../core/errors.ts'

/** What a counter is at for a key, after a call. */
export interface Count {
  readonly count: number
  /** How long until it starts again from nothing. */
  readonly resetsInMs: number
}

/** One that was added. */
export interface Added extends Count {
  /** Whether the count is within the limit. */
  readonly isWithin: boolean
  /** Takes it back, as long as its window lasts: the next one must not start below nothing. */
  takeBack(): Promise<void>
}

/**
 * Counts events by key, in windows that start with the first one. Every process on the same store
 * counts together, and each call is atomic. Keys are opaque and of at most 64 characters.
 *
 * Windows are measured by the clock of the machine or of the store, never by a `Clock`.
 * Every call throws `store_unavailable` when the store does not answer.
 */
export interface Counter {
  /** The count so far; null when there is none. Changes nothing. */
  read(key: string): Promise<Count | null>
  /**
   * Adds one.
   * @param window_s the length of the window, if it starts now
   */
  add(key: string, window_s?: number): Promise<Added>
  /** Starts again from nothing. */
  reset(key: string): Promise<void>
}

export interface CounterOptions {
  /** Tells its keys from those of other counters in the same store. */
  readonly name: string
  readonly limit: number
  readonly window_s: number
}

/** Where counters are kept. */
export interface CounterStore {
  counter(options: CounterOptions): Counter
  close(): Promise<void>
}

/** What a caller is told to wait when the store did not answer. */
const retryAfter_s = 1

/** A counter by rate-limiter-flexible, which has the algorithm for every store. */
export function counterBy(limiter: RateLimiterAbstract): Counter {
  const added = (key: string, result: RateLimiterRes, isWithin: boolean): Added => {
    const endsAtMs = systemClock.nowMs() + result.msBeforeNext
    return {
      ...countOf(result),
      isWithin,
      async takeBack() {
        if (systemClock.nowMs() >= endsAtMs) return
        const { consumedPoints } = await limiter.reward(key).catch(unavailable)
        // It was counted no more, since a reset. What is added meanwhile keeps its one.
        if (consumedPoints < 0) await limiter.penalty(key).catch(unavailable)
      },
    }
  }
  return {
    async read(key) {
      const found = await limiter.get(key).catch(unavailable)
      return found === null ? null : countOf(found)
    },
    async add(key, window_s) {
      const options = window_s === undefined ? {} : { customDuration: window_s }
      try {
        return added(key, await limiter.consume(key, 1, options), true)
      } catch (error) {
        // The library rejects with the count itself when it is over the limit.
        if (error instanceof RateLimiterRes) return added(key, error, false)
        return unavailable(error)
      }
    },
    async reset(key) {
      await limiter.delete(key).catch(unavailable)
    },
  }
}

function countOf({ consumedPoints, msBeforeNext }: RateLimiterRes): Count {
  return { count: consumedPoints, resetsInMs: msBeforeNext }
}

function unavailable(error: unknown): never {
  if (error instanceof GatepassError) throw error
  throw new GatepassError('store_unavailable', { cause: error, retryAfter_s })
}
