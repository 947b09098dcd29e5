import { GatepassError } from './errors.ts'

export interface QueueLimits {
  /** Batches that run at the same time. */
  readonly maxConcurrent: number
  /** Jobs that may wait. Further jobs are rejected immediately. */
  readonly maxQueued: number
  /** Longest wait in milliseconds. A job that cannot start in time is rejected on arrival. */
  readonly maxWaitMs: number
  /** Largest batch. Batches form only while jobs are waiting. Default: 1. */
  readonly maxBatch?: number
}

/** Runs a batch of jobs and returns one result per job. A rejection applies to the whole batch. */
export type RunBatch<Job, Result> = (
  jobs: readonly Job[],
) => Promise<readonly PromiseSettledResult<Result>[]>

/** Assumed duration of a job until one has been measured. */
const initialDurationMs = 50
/** Weight of the newest duration in the moving average. */
const newestWeight = 0.1
/** Caps a measured duration, in units of `maxWaitMs`: a stopped process must not block the queue. */
const maxDurationInWaits = 10
const maxRetryAfterSeconds = 60

interface Entry<Job, Result> extends PromiseWithResolvers<Result> {
  readonly job: Job
  deadline?: NodeJS.Timeout
}

/**
 * A FIFO queue with limits on concurrency, length and waiting time. The queue never grows beyond
 * the jobs that can run within `maxWaitMs`, estimated from recent durations. A batch takes at most
 * half of the waiting jobs, so no finished job is held back for longer than other jobs wait.
 */
export class BoundedQueue<Job, Result> {
  readonly #limits: QueueLimits
  readonly #runBatch: RunBatch<Job, Result>
  /** In order of arrival. */
  readonly #waiting = new Set<Entry<Job, Result>>()
  #runningBatches = 0
  #runningJobs = 0
  #averageMs = initialDurationMs

  constructor(limits: QueueLimits, runBatch: RunBatch<Job, Result>) {
    this.#limits = limits
    this.#runBatch = runBatch
  }

  /**
   * Queues a job and returns its result.
   *
   * @throws `overloaded` immediately if the queue is full, or when the deadline passes; the error of
   *   the job
   */
  run(job: Job): Promise<Result> {
    const { maxConcurrent, maxWaitMs } = this.#limits
    const entry: Entry<Job, Result> = { job, ...Promise.withResolvers<Result>() }
    if (this.#runningBatches < maxConcurrent) {
      void this.#start([entry])
    } else if (this.#isFull()) {
      entry.reject(this.#overloaded())
    } else {
      entry.deadline = setTimeout(() => {
        this.#waiting.delete(entry)
        entry.reject(this.#overloaded())
      }, maxWaitMs)
      this.#waiting.add(entry)
    }
    return entry.promise
  }

  #isFull(): boolean {
    const { maxQueued, maxWaitMs } = this.#limits
    // One job of each running batch is about to finish; the other jobs count as waiting.
    const ahead = this.#waiting.size + this.#runningJobs - this.#runningBatches
    return this.#waiting.size >= maxQueued || this.#estimateMs(ahead + 1) > maxWaitMs
  }

  async #start(batch: readonly Entry<Job, Result>[]): Promise<void> {
    this.#runningBatches += 1
    this.#runningJobs += batch.length
    for (const { deadline } of batch) clearTimeout(deadline)
    // Unlike the time of day, this time does not jump.
    const startedAtMs = performance.now()
    const results = await this.#settle(batch.map(({ job }) => job))
    this.#runningBatches -= 1
    this.#runningJobs -= batch.length
    this.#recordDuration(performance.now() - startedAtMs, batch.length)
    // Starts the next batch before the callers resume, so that the slot is never idle.
    this.#startNext()
    for (const [index, { resolve, reject }] of batch.entries()) {
      const result = results[index]
      if (result?.status === 'fulfilled') resolve(result.value)
      else reject(result?.reason)
    }
  }

  #startNext(): void {
    const { maxConcurrent, maxBatch = 1 } = this.#limits
    const half = Math.ceil(this.#waiting.size / 2 / maxConcurrent)
    const batch = Array.from(this.#waiting.values().take(Math.min(maxBatch, half)))
    for (const entry of batch) this.#waiting.delete(entry)
    if (batch.length > 0) void this.#start(batch)
  }

  async #settle(jobs: readonly Job[]): ReturnType<RunBatch<Job, Result>> {
    try {
      return await this.#runBatch(jobs)
    } catch (reason) {
      return jobs.map(() => ({ status: 'rejected', reason }))
    }
  }

  #recordDuration(batchMs: number, jobs: number): void {
    const limitMs = maxDurationInWaits * this.#limits.maxWaitMs
    const durationMs = Math.min(batchMs / jobs, limitMs)
    this.#averageMs += (durationMs - this.#averageMs) * (1 - (1 - newestWeight) ** jobs)
  }

  /** Estimates how long this many jobs take. */
  #estimateMs(jobs: number): number {
    return (jobs * this.#averageMs) / this.#limits.maxConcurrent
  }

  /** The error for a rejected job. `Retry-After` is the time until the queue is empty. */
  #overloaded(): GatepassError {
    const drainSeconds = Math.ceil(this.#estimateMs(this.#waiting.size) / 1000)
    const retryAfterSeconds = Math.min(maxRetryAfterSeconds, Math.max(1, drainSeconds))
    return new GatepassError('overloaded', { retryAfterSeconds })
  }
}

type Work = () => Promise<unknown>

interface KeyQueue {
  readonly queue: BoundedQueue<Work, unknown>
  /** Work that runs or waits. */
  users: number
}

/** Limits the concurrency of work per key. Further work of the same key waits in a queue. */
export class PerKeyQueue {
  readonly #limits: QueueLimits
  readonly #queues = new Map<string, KeyQueue>()

  constructor(limits: QueueLimits) {
    this.#limits = limits
  }

  /** @throws `overloaded`; the error of the work */
  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const entry = this.#queues.get(key) ?? this.#create()
    this.#queues.set(key, entry)
    entry.users += 1
    try {
      return (await entry.queue.run(work)) as T
    } finally {
      entry.users -= 1
      if (entry.users === 0) this.#queues.delete(key)
    }
  }

  #create(): KeyQueue {
    const queue = new BoundedQueue<Work, unknown>(this.#limits, (works) =>
      Promise.allSettled(works.map((work) => work())),
    )
    return { queue, users: 0 }
  }
}
