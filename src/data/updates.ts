import { setTimeout as sleep } from 'node:timers/promises'
import { GatepassError, isGatepassError } from '../core/errors.ts'
import { fieldKey, type OwnedFields, type ValueText } from './owned-fields.ts'

/**
 * Computes the next value of a field from its current value (null if absent), both as JSON. It may be
 * called more than once and must have no side effect.
 */
export type Change = (current: ValueText | null) => string

/** Attempts of a write that meets conflicts, with a pause before each further attempt. */
const maxAttempts = 32
const maxPauseMs = 64
/**
 * Characters that the updates of one turn of the event loop decode and encode, in about 20 ms: no other
 * request is served meanwhile.
 */
const maxTextLength = 128 * 1024
/** An outdated version costs a write, a current one saves a read. */
const trust = { max: 8, gain: 1, loss: 2 }

interface PendingUpdate {
  readonly fields: OwnedFields
  readonly change: Change
  resolve(): void
  reject(reason: unknown): void
}

/**
 * Updates fields without losing a concurrent change: each update is a compare-and-set, repeated
 * after a conflict. Updates of one field that arrive meanwhile are applied together, by one read
 * and one write. No read is needed while the versions that this process knows are usually current.
 */
export class Updates {
  /** Updates that wait for the write in progress, by owner and field. */
  readonly #waiting = new Map<string, PendingUpdate[]>()
  /** Positive while known versions are usually current. */
  #trust: number = trust.gain

  /**
   * @throws like `OwnedFields.get` and `set`; `data_conflict` after repeated conflicts; the error of
   *   `change`
   */
  update(fields: OwnedFields, field: string, change: Change): Promise<void> {
    const key = fieldKey(fields.owner, field)
    return new Promise((resolve, reject) => {
      const one = { fields, change, resolve, reject }
      const waiting = this.#waiting.get(key)
      if (waiting === undefined) void this.#run(key, field, one)
      else waiting.push(one)
    })
  }

  async #run(key: string, field: string, one: PendingUpdate): Promise<void> {
    for (let batch = [one]; batch.length > 0; batch = this.#waiting.get(key) ?? []) {
      this.#waiting.set(key, [])
      try {
        // The last update names the latest expiry.
        const { fields } = batch.at(-1) ?? one
        for (let left = batch; left.length > 0; ) {
          const count = maxTogether(fields.lastKnown(field))
          const done = await this.#write(fields, field, left.slice(0, count))
          for (const one of done) one.resolve()
          left = left.slice(count)
        }
      } catch (error) {
        // Rejecting a settled promise has no effect.
        for (const one of batch) one.reject(error)
      }
    }
    this.#waiting.delete(key)
  }

  /** Returns the updates that were written. The others have been rejected. */
  async #write(
    fields: OwnedFields,
    field: string,
    batch: readonly PendingUpdate[],
  ): Promise<readonly PendingUpdate[]> {
    const known = fields.lastKnown(field)
    if (known !== null && this.#trust > 0) {
      const { text, refusals } = applyAll(known, batch)
      // An outdated value may be the reason for a refusal.
      if (refusals.size === 0 && (await isWritten(fields, field, text, known.version))) {
        this.#learn(true)
        return batch
      }
    }
    let left = batch
    for (let attempt = 0; attempt < maxAttempts; attempt++) {
      if (attempt > 0) await sleep(Math.random() * Math.min(2 ** attempt, maxPauseMs))
      const found = await fields.getText(field)
      if (attempt === 0 && known !== null) this.#learn(found?.version === known.version)
      const { text, refusals } = applyAll(found, left)
      for (const [one, error] of refusals) one.reject(error)
      left = left.filter((one) => !refusals.has(one))
      if (left.length === 0) return []
      if (await isWritten(fields, field, text, found?.version ?? null)) return left
    }
    throw new GatepassError('data_conflict', { retryAfterSeconds: 1 })
  }

  #learn(wasCurrent: boolean): void {
    const next = this.#trust + (wasCurrent ? trust.gain : -trust.loss)
    this.#trust = Math.max(-trust.max, Math.min(trust.max, next))
  }
}

/** Returns how many updates of a value are written together. */
function maxTogether(known: ValueText | null): number {
  return Math.max(1, Math.floor(maxTextLength / Math.max(1, known?.text.length ?? 0)))
}

/** @returns false after a conflict */
async function isWritten(
  fields: OwnedFields,
  field: string,
  text: string | undefined,
  expected: string | null,
): Promise<boolean> {
  if (text === undefined) return false
  try {
    await fields.setText(field, text, expected)
    return true
  } catch (error) {
    if (isGatepassError(error, 'data_conflict')) return false
    throw error
  }
}

/** Applies updates one after the other. An update that throws changes nothing. */
function applyAll(current: ValueText | null, batch: readonly PendingUpdate[]) {
  let last = current
  const refusals = new Map<PendingUpdate, unknown>()
  for (const one of batch) {
    try {
      last = { text: one.change(last) }
    } catch (error) {
      refusals.set(one, error)
    }
  }
  return { text: last?.text, refusals }
}
