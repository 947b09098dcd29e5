import type { Clock } from '../core/clock.ts'
import type { AuditEvent, AuditFields } from '../issuer/audit.ts'
import type { PlaygroundEvent } from './api.ts'

const maxEvents = 200

/** Keeps the last events of the audit log for the page. */
export class EventLog {
  readonly #clock: Clock
  readonly #events: PlaygroundEvent[] = []
  #lastId = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  add(event: AuditEvent, { sid, kid, reason }: AuditFields): void {
    this.#lastId++
    this.#events.push({
      id: this.#lastId,
      at: new Date(this.#clock.nowMs()).toISOString(),
      event,
      ...(sid !== undefined && { session_id: sid }),
      ...(kid !== undefined && { kid }),
      ...(reason !== undefined && { reason }),
    })
    if (this.#events.length > maxEvents) this.#events.shift()
  }

  /** Events with a greater id, oldest first. */
  after(id: number): readonly PlaygroundEvent[] {
    return this.#events.filter((event) => event.id > id)
  }
}
