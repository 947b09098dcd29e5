import { readFileSync } from 'node:fs'

/** Ticks in a second in `/proc`: fixed for programs, whatever the kernel counts in. */
const ticksPerSecond = 100

/** Processor time of a process so far, all threads, user and system (proc_pid_stat(5)). */
export function processorTime_s(pid: number): number {
  return ticks(pid, 2) / ticksPerSecond
}

/** The same of a process with its children, those that have ended included. */
export function familyTime_s(pid: number): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ')
  return children
    .filter((child) => child !== '')
    .reduce((sum, child) => sum + timeOfChild_s(Number(child)), ticks(pid, 4) / ticksPerSecond)
}

/** 0 when it has ended meanwhile. */
function timeOfChild_s(pid: number): number {
  try {
    return familyTime_s(pid)
  } catch {
    return 0
  }
}

/** The sum of its first fields of time: user, system, and the two of the children waited for. */
function ticks(pid: number, count: 2 | 4): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  // The second field is the command in parentheses, and may hold spaces.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return fields.slice(11, 11 + count).reduce((sum, field) => sum + Number(field), 0)
}

/** Memory that a process holds in RAM, what it shares with others included. */
export function resident_mib(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmRSS:\s*(\d+) kB$/m.exec(status)?.[1]) / 1024
}
