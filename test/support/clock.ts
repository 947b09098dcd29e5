import type { Clock } from '../../src/core/clock.ts'

/** A clock that stands still until a test moves it. */
export class FakeClock implements Clock {
  timeMs: number

  constructor(startMs: number = Date.UTC(2026, 0, 1)) {
    this.timeMs = startMs
  }

  nowMs(): number {
    return this.timeMs
  }

  advanceMs(ms: number): void {
    this.timeMs += ms
  }

  advance_s(seconds: number): void {
    this.advanceMs(seconds * 1000)
  }
}
