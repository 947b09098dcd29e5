import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** One core for what is measured, another for what makes it work. */
export interface Cores {
  readonly server: number
  readonly load: number
}

/** @returns the cores to pin to, or why there are none */
export function chooseCores(): Cores | { readonly unpinned: string } {
  if (spawnSync('taskset', ['--version']).error !== undefined) {
    return { unpinned: 'taskset is not installed' }
  }
  const status = readFileSync('/proc/self/status', 'utf8')
  const allowed = /^Cpus_allowed_list:\s*(\S+)$/m.exec(status)?.[1] ?? ''
  const [server, load] = parseCpuList(allowed)
  if (server === undefined || load === undefined) {
    return { unpinned: 'this process may use one core only' }
  }
  return { server, load }
}

/** Reads a list in the form of the Linux kernel: `0-2,5`. */
export function parseCpuList(text: string): number[] {
  if (text === '') return []
  return text.split(',').flatMap((part) => {
    const [first = 0, last = first] = part.split('-').map(Number)
    return Array.from({ length: last - first + 1 }, (_, offset) => first + offset)
  })
}
