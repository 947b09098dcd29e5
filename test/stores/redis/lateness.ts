import { monitorEventLoopDelay } from 'node:perf_hooks'

const loop = monitorEventLoopDelay({ resolution: 10 })
loop.enable()

/** How late an answer may be in a test: the machine has more to do, and held this process up. */
export function lateMs(): number {
  return 250 + loop.max / 1e6
}
