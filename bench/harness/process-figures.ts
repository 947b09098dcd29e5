import { readFileSync } from 'node:fs'

/** Ticks in a second in `/proc`: fixed for programs, whatever the kernel counts in. */
const ticksPerSecond = 100

/** Processor time of a process so far, all threads, user and system (proc_pid_stat(5)). */
export function processorTime_s(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  // The second field is the command in parentheses, and may hold spaces.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const [userTicks, systemTicks] = fields.slice(11, 13).map(Number)
  return ((userTicks ?? Number.NaN) + (systemTicks ?? Number.NaN)) / ticksPerSecond
}

/** Memory that a process holds in RAM, what it shares with others included. */
export function resident_mib(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmRSS:\s*(\d+) kB$/m.exec(status)?.[1]) / 1024
}
