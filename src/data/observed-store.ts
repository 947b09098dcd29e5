import { isGatepassError } from '../core/errors.ts'
import type { DataStore } from '../stores/data-store.ts'

/** What a call did; `unavailable` is a store that did not answer, `failed` a fault of ours. */
export const dataOutcomes = [
  'ok',
  'conflict',
  'full',
  'ended',
  'absent',
  'unavailable',
  'failed',
] as const
export type DataOutcome = (typeof dataOutcomes)[number]

export const dataOperations = ['read', 'write', 'remove', 'touch', 'end'] as const
export type DataOperation = (typeof dataOperations)[number]

/** Told of what happens with session data. None of it names an owner or a field. */
export interface DataObserver {
  /** A call to the store. */
  operation(operation: DataOperation, outcome: DataOutcome, duration_s: number): void
  /** Fields that were read; a miss is one that was asked for by name and is not there. */
  fieldsRead(hits: number, misses: number): void
  /** A value that does not decrypt. */
  unreadable(): void
}

/** The store, with each call told to an observer. */
export function observedStore(store: DataStore, observer: DataObserver): DataStore {
  async function told<T>(
    operation: DataOperation,
    call: () => Promise<T>,
    outcomeOf: (result: T) => DataOutcome = () => 'ok',
  ): Promise<T> {
    const startedAtMs = performance.now()
    const tell = (outcome: DataOutcome) =>
      observer.operation(operation, outcome, (performance.now() - startedAtMs) / 1000)
    try {
      const result = await call()
      tell(outcomeOf(result))
      return result
    } catch (error) {
      tell(isGatepassError(error, 'store_unavailable') ? 'unavailable' : 'failed')
      throw error
    }
  }

  return {
    promises: store.promises,
    async read(owner, fields, nowMs) {
      const found = await told('read', () => store.read(owner, fields, nowMs))
      const asked = fields === 'all' ? found.size : new Set(fields).size
      observer.fieldsRead(found.size, asked - found.size)
      return found
    },
    write: (write) =>
      told(
        'write',
        () => store.write(write),
        (outcome) => (outcome === 'written' ? 'ok' : outcome),
      ),
    remove: (removal) =>
      told(
        'remove',
        () => store.remove(removal),
        (outcome) => (outcome === 'removed' ? 'ok' : outcome),
      ),
    touch: (...args) => told('touch', () => store.touch(...args)),
    end: (...args) => told('end', () => store.end(...args)),
    removeExpired: (...args) => store.removeExpired(...args),
    ping: () => store.ping(),
    close: () => store.close(),
  }
}
