import { BoundedQueue } from '../../core/bounded-queue.ts'
import { systemClock } from '../../core/clock.ts'

/**
 * Attempts on one account that this process handles at the same time. An attempt counts as failed
 * until its password is checked: more at once would exhaust the limit although all are right.
 */
const limits = { maxConcurrent: 2, maxQueued: 256, maxWaitMs: 5_000 }

type Work = () => Promise<unknown>

/** Limits the concurrency of work per key; further work of the same key waits in a queue. */
export class PerKeyQueue {
  readonly #queues = new Map<
    string,
    { readonly queue: BoundedQueue<Work, unknown>; users: number }
  >()

  /** @throws `overloaded`; the error of the work */
  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const entry = this.#queues.get(key) ?? { queue: createQueue(), users: 0 }
    this.#queues.set(key, entry)
    entry.users += 1
    try {
      return (await entry.queue.run(work)) as T
    } finally {
      entry.users -= 1
      if (entry.users === 0) this.#queues.delete(key)
    }
  }
}

function createQueue(): BoundedQueue<Work, unknown> {
  return new BoundedQueue(limits, systemClock, (works) =>
    Promise.allSettled(works.map((work) => work())),
  )
}
