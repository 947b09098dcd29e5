import type { Clock } from '../../core/clock.ts'
import { GatepassError } from '../../core/errors.ts'

export interface GateLimits {
  /** Places: so many jobs are served at once, or as many groups of them. */
  readonly maxConcurrent: number
  readonly maxQueued: number
  /** Who has waited so long is refused; who would have to is refused at once. */
  readonly maxWaitMs: number
  /** While others wait, so many jobs at most are served in one place, and answered together; 1. */
  readonly togetherMax?: number
}

/** Serves a group of jobs in turn, and says what became of each. When it rejects, it is for all of them. */
export type Serve<Job, Result> = (
  jobs: readonly Job[],
) => Promise<readonly PromiseSettledResult<Result>[]>

/** What a job is taken to last before one has been seen. */
const firstGuessMs = 50
/** The weight of the newest duration in the running average. */
const newestWeight = 0.1
/** A clock that jumps must not close the gate for long: no job counts for more than so many waits. */
const durationMax_waits = 10
const retryAfterMax_s = 60

/** Somebody who waits, or is served. */
interface Asker<Job, Result> extends PromiseWithResolvers<Result> {
  readonly job: Job
  deadline?: NodeJS.Timeout
}

/**
 * Serves so many jobs at once, lets some more wait, in order, and refuses the rest. A refused caller
 * costs nothing; one accepted and then kept waiting for minutes costs memory.
 *
 * The queue is never longer than what can be served in `maxWaitMs`. So first in, first out is fair
 * and wastes nothing: whoever is let in is served in time. (Last in, first out answers more of a
 * queue that is longer than that, by giving up those who came first.) The deadline is there for when
 * jobs take longer than they did before.
 *
 * What comes between two jobs, and after a job that has used up the caches of the processor, is slow
 * the first time and quick for those who come right behind. So they are served in groups while there is
 * a queue: half of it at most, so that nobody is held for longer than others wait anyway.
 */
export class Gate<Job, Result> {
  readonly #limits: GateLimits
  readonly #clock: Clock
  readonly #serve: Serve<Job, Result>
  /** In the order in which they came. */
  readonly #waiting = new Set<Asker<Job, Result>>()
  /** Groups, and the jobs in them. */
  #running = 0
  #runningJobs = 0
  #averageMs = firstGuessMs

  constructor(limits: GateLimits, clock: Clock, serve: Serve<Job, Result>) {
    this.#limits = limits
    this.#clock = clock
    this.#serve = serve
  }

  /**
   * @throws `overloaded`, at once when the queue is too long or later when the deadline has passed;
   *   whatever it is that the job fails with
   */
  run(job: Job): Promise<Result> {
    const { maxConcurrent, maxWaitMs } = this.#limits
    const asker: Asker<Job, Result> = { job, ...Promise.withResolvers<Result>() }
    if (this.#running < maxConcurrent) {
      void this.#start([asker])
    } else if (this.#isFull()) {
      asker.reject(this.#overloaded())
    } else {
      asker.deadline = setTimeout(() => {
        this.#waiting.delete(asker)
        asker.reject(this.#overloaded())
      }, maxWaitMs)
      this.#waiting.add(asker)
    }
    return asker.promise
  }

  #isFull(): boolean {
    const { maxQueued, maxWaitMs } = this.#limits
    const length = this.#waiting.size
    // The first of each group is about to be done; the others in it are as if they waited.
    const ahead = length + this.#runningJobs - this.#running
    return length >= maxQueued || this.#waitMs(ahead + 1) > maxWaitMs
  }

  async #start(group: readonly Asker<Job, Result>[]): Promise<void> {
    this.#running += 1
    this.#runningJobs += group.length
    for (const { deadline } of group) clearTimeout(deadline)
    const startedAtMs = this.#clock.nowMs()
    const results = await this.#resultsOf(group.map(({ job }) => job))
    this.#running -= 1
    this.#runningJobs -= group.length
    this.#learn(this.#clock.nowMs() - startedAtMs, group.length)
    // The place is taken again before anybody goes on, so that it is not empty meanwhile.
    this.#next()
    for (const [index, { resolve, reject }] of group.entries()) {
      const result = results[index]
      if (result?.status === 'fulfilled') resolve(result.value)
      else reject(result?.reason)
    }
  }

  /** Hands the place to those who wait longest, so that nobody who comes now can take it. */
  #next(): void {
    const { maxConcurrent, togetherMax = 1 } = this.#limits
    const half = Math.ceil(this.#waiting.size / 2 / maxConcurrent)
    const group = Array.from(this.#waiting.values().take(Math.min(togetherMax, half)))
    for (const asker of group) this.#waiting.delete(asker)
    if (group.length > 0) void this.#start(group)
  }

  async #resultsOf(jobs: readonly Job[]): ReturnType<Serve<Job, Result>> {
    try {
      return await this.#serve(jobs)
    } catch (reason) {
      return jobs.map(() => ({ status: 'rejected', reason }))
    }
  }

  #learn(tookMs: number, jobs: number): void {
    const { maxWaitMs } = this.#limits
    const durationMs = Math.min(Math.max(0, tookMs / jobs), durationMax_waits * maxWaitMs)
    this.#averageMs += (durationMs - this.#averageMs) * (1 - (1 - newestWeight) ** jobs)
  }

  /** How long it takes until so many jobs have ended. */
  #waitMs(jobs: number): number {
    return (jobs * this.#averageMs) / this.#limits.maxConcurrent
  }

  /** Says to come again when the queue has emptied. */
  #overloaded(): GatepassError {
    const drain_s = Math.ceil(this.#waitMs(this.#waiting.size) / 1000)
    const retryAfter_s = Math.min(retryAfterMax_s, Math.max(1, drain_s))
    return new GatepassError('overloaded', { retryAfter_s })
  }
}
