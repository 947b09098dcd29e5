import { setTimeout as sleep } from 'node:timers/promises'
import { GatepassError, isGatepassError } from '../core/errors.ts'
import type { JsonValue } from '../core/json.ts'
import type { OwnedFields } from './owned-fields.ts'

/**
 * Works out the next value of a field, from the one that is there or undefined. It may be asked more
 * than once, and does nothing else.
 */
export type Change = (current: JsonValue | undefined) => JsonValue

/** So many times a write is tried when others are faster, each time after a pause. */
const attemptsMax = 32
const pauseMsMax = 64

interface Waiting {
  readonly fields: OwnedFields
  readonly change: Change
  resolve(): void
  reject(reason: unknown): void
}

/**
 * Changes of fields, none of which is lost: each is a compare-and-set, tried again when somebody else
 * was faster. Those of one field that come to this process while one of them is under way are made
 * together, by one read and one write. So it is replicas that compete, and not requests, and there
 * are never many of them.
 */
export class Updates {
  /** By place, what waits for the write that is under way there. */
  readonly #waiting = new Map<string, Waiting[]>()

  /**
   * @throws like `OwnedFields.get` and `set`; `data_conflict` when others were faster over and over;
   *   what `change` throws
   */
  make(fields: OwnedFields, field: string, change: Change): Promise<void> {
    const { scope, id } = fields.owner
    const place = `${scope} ${id} ${field}`
    return new Promise((resolve, reject) => {
      const one = { fields, change, resolve, reject }
      const waiting = this.#waiting.get(place)
      if (waiting === undefined) this.#run(place, field, [one])
      else waiting.push(one)
    })
  }

  async #run(place: string, field: string, first: readonly Waiting[]): Promise<void> {
    for (let batch = first; batch.length > 0; batch = this.#waiting.get(place) ?? []) {
      this.#waiting.set(place, [])
      try {
        const done = await writeTogether(field, batch)
        for (const one of done) one.resolve()
      } catch (error) {
        // Who has had an answer already does not hear of it.
        for (const one of batch) one.reject(error)
      }
    }
    this.#waiting.delete(place)
  }
}

/** @returns those that were made; the others have been told why not */
async function writeTogether(
  field: string,
  batch: readonly Waiting[],
): Promise<readonly Waiting[]> {
  let left = batch
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    if (attempt > 0) await sleep(Math.random() * Math.min(2 ** attempt, pauseMsMax))
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
  throw new GatepassError('data_conflict', { retryAfter_s: 1 })
}

/** One after the other. One that throws changes nothing, and is told so. */
function applyAll(current: JsonValue | undefined, batch: readonly Waiting[]) {
  let value = current
  const made: Waiting[] = []
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
