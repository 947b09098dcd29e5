import { Counter, type Registry } from 'prom-client'

/** @param dropped asked at each look */
export function observeLog(registry: Registry, dropped: () => number): void {
  new Counter({
    name: 'gatepass_log_lines_dropped_total',
    help: 'Log lines that were lost because standard output was full, too slow or closed.',
    registers: [registry],
    collect() {
      this.reset()
      this.inc(dropped())
    },
  })
}
