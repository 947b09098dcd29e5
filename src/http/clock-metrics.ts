import { Gauge, type Registry } from 'prom-client'

/**
 * Measures how wrong the clock is. Several processes on one machine have one clock.
 *
 * @param offsetMs asked at each look; null leaves the gauge out
 */
export function observeClock(registry: Registry, offsetMs: () => number | null): void {
  new Gauge({
    name: 'gatepass_clock_offset_seconds',
    help: 'Seconds by which the clock is ahead of the one of the session store.',
    aggregator: 'first',
    registers: [registry],
    collect() {
      const offset = offsetMs()
      if (offset === null) this.remove()
      else this.set(offset / 1000)
    },
  })
}
