import { isGatepassError } from '../core/errors.ts'
import type { DataStore } from '../stores/data-store.ts'

/** The outcome of a call. `unavailable`: the store did not answer. `failed`: a fault of the service. */
export type DataOutcome = 'ok' | 'conflict' | 'full' | 'ended' | 'absent' | 'unavailable' | 'failed'

export type DataOperation = 'read' | 'write' | 'remove' | 'touch' | 'end'

/** Receives measurements of session data. They name no owner and no field. */
export interface DataObserver {
  /** A call to the store. */
  operation(operation: DataOperation, outcome: DataOutcome, durationSeconds: number): void
  /** Fields that were read. A miss is a named field that is absent. */
  fieldsRead(hits: number, misses: number): void
  /** A value did not decrypt. */
  unreadable(): void
}

/** Wraps a store and reports each call to an observer. */
export function observedStore(store: DataStore, observer: DataObserver): DataStore {
  async function report<T>(
    operation: DataOperation,
    call: () => Promise<T>,
    outcomeOf: (result: T) => DataOutcome = () => 'ok',
  ): Promise<T> {
    const startedAtMs = performance.now()
    const done = (outcome: DataOutcome) =>
      observer.operation(operation, outcome, (performance.now() - startedAtMs) / 1000)
    try {
      const result = await call()
      done(outcomeOf(result))
      return result
    } catch (error) {
      done(isGatepassError(error, 'store_unavailable') ? 'unavailable' : 'failed')
      throw error
    }
  }

  return {
    async read(owner, fields, nowMs) {
      const found = await report('read', () => store.read(owner, fields, nowMs))
      const asked = fields === 'all' ? found.size : new Set(fields).size
      observer.fieldsRead(found.size, asked - found.size)
      return found
    },
    write: (write) =>
      report(
        'write',
        () => store.write(write),
        (outcome) => (outcome === 'written' ? 'ok' : outcome),
      ),
    remove: (removal) =>
      report(
        'remove',
        () => store.remove(removal),
        (outcome) => (outcome === 'removed' ? 'ok' : outcome),
      ),
    touch: (...args) => report('touch', () => store.touch(...args)),
    end: (...args) => report('end', () => store.end(...args)),
    removeExpired: (...args) => store.removeExpired(...args),
    close: () => store.close(),
  }
}
