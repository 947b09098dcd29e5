import { spawnSync } from 'node:child_process'
import { readFileSync, statfsSync } from 'node:fs'
import { cpus, loadavg } from 'node:os'
import type { Bench } from './scenario.ts'

/** One core for the measured process, another one for the load and the stores. */
export interface Cores {
  readonly server: number
  readonly load: number
}

/** `f_type` of a file system in memory (statfs(2)). */
const tmpfsMagic = 0x01021994
/** Clock ticks per second in `/proc`, the same on every Linux machine. */
const ticksPerSecond = 100
/** Read at the start, because each scenario loads the machine. */
const loadBefore = loadavg()[0] ?? 0

/** @returns null without taskset, or if this process may use only one core */
export function chooseCores(): Cores | null {
  if (spawnSync('taskset', ['--version']).error !== undefined) return null
  const status = readFileSync('/proc/self/status', 'utf8')
  const allowed = /^Cpus_allowed_list:\s*(\S+)$/m.exec(status)?.[1] ?? ''
  const [server, load] = parseCpuList(allowed)
  return server === undefined || load === undefined ? null : { server, load }
}

/** Reads a list in the form of the Linux kernel: `0-2,5`. */
export function parseCpuList(text: string): number[] {
  if (text === '') return []
  return text.split(',').flatMap((part) => {
    const [first = 0, last = first] = part.split('-').map(Number)
    return Array.from({ length: last - first + 1 }, (_, offset) => first + offset)
  })
}

/** Describes the machine for a result. */
export function describeMachine({ cores }: Pick<Bench, 'cores'>) {
  const all = cpus()
  return {
    cpu: all[0]?.model.trim() ?? 'unknown',
    cores: all.length,
    cores_pinned: cores,
    /** Processes that wanted a core in the minute before the run. Above 0.5 the machine is busy. */
    load_before: loadBefore,
  }
}

/** Whether a file system is in memory, where a flush costs nothing. */
export function isInMemory(folder: string): boolean {
  return statfsSync(folder).type === tmpfsMagic
}

/** Returns the processor time of a process and its children, including ended ones (proc_pid_stat(5)). */
export function processorTime_s(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  // The second field is the command in parentheses, which may contain spaces.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  // User and system time, and both of the ended children.
  const own_ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0)
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ')
  return children
    .filter(Boolean)
    .reduce((sum, child) => sum + timeOfChild_s(Number(child)), own_ticks / ticksPerSecond)
}

/** Returns 0 if the child has ended. */
function timeOfChild_s(pid: number): number {
  try {
    return processorTime_s(pid)
  } catch {
    return 0
  }
}

export function resident_mib(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmRSS:\s*(\d+) kB$/m.exec(status)?.[1]) / 1024
}
