import type { Clock } from '../../src/core/clock.ts'

/** A clock that stands still until a test moves it or lets it run. */
export class FakeClock implements Clock {
  timeMs: number
  #runsSinceMs: number | null = null

  constructor(startMs: number = Date.UTC(2026, 0, 1)) {
    this.timeMs = startMs
  }

  nowMs(): number {
    return this.timeMs + (this.#runsSinceMs === null ? 0 : Date.now() - this.#runsSinceMs)
  }

  /** Sets the clock to the time of the machine and lets it run, for programs that use that time. */
  run(): void {
    this.timeMs = Date.now()
    this.#runsSinceMs = this.timeMs
  }

  advanceMs(ms: number): void {
    this.timeMs += ms
  }

  advance_s(seconds: number): void {
    this.advanceMs(seconds * 1000)
  }
}
