import { spawnSync } from 'node:child_process'
import { readFileSync, statfsSync } from 'node:fs'
import { cpus, loadavg } from 'node:os'
import type { Bench } from './scenario.ts'

/** One core for what is measured, another one for the load and the stores. */
export interface Cores {
  readonly server: number
  readonly load: number
}

/** `f_type` of a file system in memory (statfs(2)). */
const tmpfsMagic = 0x01021994
/** Ticks in a second in `/proc`: fixed for programs, whatever the kernel counts in. */
const ticksPerSecond = 100

/** @returns null without taskset, or where this process may use one core only */
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

/** The machine, on which a figure depends besides the code. */
export function describeMachine({ cores }: Pick<Bench, 'cores'>) {
  const all = cpus()
  return {
    cpu: all[0]?.model.trim() ?? 'unknown',
    cores: all.length,
    cores_pinned: cores,
    /** How many processes wanted a core before the run; above 0.5 something else is at work. */
    load_before: loadavg()[0] ?? 0,
  }
}

/** Whether data is flushed to memory only, so that durability costs nothing. */
export function isInMemory(folder: string): boolean {
  return statfsSync(folder).type === tmpfsMagic
}

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

/** 0 when the child has ended meanwhile. */
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
