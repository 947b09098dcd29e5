import { setTimeout as sleep } from 'node:timers/promises'
import { GatepassError, isGatepassError } from '../core/errors.ts'
import type { JsonValue } from '../core/json.ts'
import type { OwnedFields } from './owned-fields.ts'

/**
 * Computes the next value of a field from its current value (undefined if absent). It may be called
 * more than once and must have no side effect.
 */
export type Change = (current: JsonValue | undefined) => JsonValue

/** Attempts of a write that meets conflicts, with a pause before each further attempt. */
const maxAttempts = 32
const maxPauseMs = 64

interface PendingUpdate {
  readonly fields: OwnedFields
  readonly change: Change
  resolve(): void
  reject(reason: unknown): void
}

/**
 * Updates fields without losing a concurrent change: each update is a compare-and-set, repeated after
 * a conflict.
 *
 * Updates of one field that arrive while another is in progress are applied together, by one read and
 * one write. Replicas compete with each other, requests within a replica do not.
 */
export class Updates {
  /** Updates that wait for the write in progress, by owner and field. */
  readonly #waiting = new Map<string, PendingUpdate[]>()

  /**
   * @throws like `OwnedFields.get` and `set`; `data_conflict` after repeated conflicts; the error of
   *   `change`
   */
  update(fields: OwnedFields, field: string, change: Change): Promise<void> {
    const { scope, id } = fields.owner
    const place = `${scope} ${id} ${field}`
    return new Promise((resolve, reject) => {
      const one = { fields, change, resolve, reject }
      const waiting = this.#waiting.get(place)
      if (waiting === undefined) this.#run(place, field, [one])
      else waiting.push(one)
    })
  }

  async #run(place: string, field: string, first: readonly PendingUpdate[]): Promise<void> {
    for (let batch = first; batch.length > 0; batch = this.#waiting.get(place) ?? []) {
      this.#waiting.set(place, [])
      try {
        const done = await writeBatch(field, batch)
        for (const one of done) one.resolve()
      } catch (error) {
        // Rejecting a settled promise has no effect.
        for (const one of batch) one.reject(error)
      }
    }
    this.#waiting.delete(place)
  }
}

/** Returns the updates that were written. The others have been rejected. */
async function writeBatch(
  field: string,
  batch: readonly PendingUpdate[],
): Promise<readonly PendingUpdate[]> {
  let left = batch
  for (let attempt = 0; attempt < maxAttempts; attempt++) {
    if (attempt > 0) await sleep(Math.random() * Math.min(2 ** attempt, maxPauseMs))
    const [first] = left
    if (first === undefined) return []
    const found = await first.fields.get(field)
    const { value, made } = applyAll(found?.value, left)
    left = made
    if (value === undefined || made.length === 0) return []
    try {
      await first.fields.set(field, value, found?.version ?? null)
      return made
    } catch (error) {
      if (!isGatepassError(error, 'data_conflict')) throw error
    }
  }
  throw new GatepassError('data_conflict', { retryAfterSeconds: 1 })
}

/** Applies updates one after the other. An update that throws is rejected and changes nothing. */
function applyAll(current: JsonValue | undefined, batch: readonly PendingUpdate[]) {
  let value = current
  const made: PendingUpdate[] = []
  for (const one of batch) {
    try {
      value = one.change(value)
      made.push(one)
    } catch (error) {
      one.reject(error)
    }
  }
  return { value, made }
}
