import type { Clock } from '../../src/core/clock.ts'

/** A clock that stands still until it is told otherwise. */
export class FakeClock implements Clock {
  #nowMs: number

  constructor(startMs: number = Date.UTC(2026, 0, 1)) {
    this.#nowMs = startMs
  }

  nowMs(): number {
    return this.#nowMs
  }

  advanceMs(ms: number): void {
    this.#nowMs += ms
  }

  advance_s(seconds: number): void {
    this.advanceMs(seconds * 1000)
  }
}
