import { Counter, Histogram, type Registry } from 'prom-client'
import type { DataObserver } from '../data/observed-store.ts'

/** Seconds; from SQLite at hand to a deadline. */
const buckets = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 0.5, 1]

/** Measures session data. No label says whose it is, or what a field is called. */
export function dataMetrics(registry: Registry): DataObserver {
  const registers = [registry]
  const operations = new Histogram({
    name: 'gatepass_data_operation_duration_seconds',
    help: 'Time of a call to the store of session data, by what came of it.',
    labelNames: ['operation', 'outcome'],
    buckets,
    registers,
  })
  const hits = new Counter({
    name: 'gatepass_data_hits_total',
    help: 'Fields of session data that were read.',
    registers,
  })
  const misses = new Counter({
    name: 'gatepass_data_misses_total',
    help: 'Fields that were asked for and not there: never written, expired, or dropped by the store.',
    registers,
  })
  const unreadable = new Counter({
    name: 'gatepass_data_unreadable_total',
    help: 'Values that did not decrypt: they were changed, or their secret is not known here.',
    registers,
  })
  return {
    operation: (operation, outcome, duration_s) =>
      operations.observe({ operation, outcome }, duration_s),
    fieldsRead(found, missing) {
      hits.inc(found)
      misses.inc(missing)
    },
    unreadable: () => unreadable.inc(),
  }
}
