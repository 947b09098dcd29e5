import { execFileSync } from 'node:child_process'
import { readFileSync, statfsSync } from 'node:fs'
import { cpus, loadavg, release, totalmem, type } from 'node:os'
import { fileURLToPath } from 'node:url'
import type { Bench } from './scenario.ts'

const root = fileURLToPath(new URL('../../../', import.meta.url))
/** `f_type` of a file system in memory (statfs(2)). */
const tmpfsMagic = 0x01021994

/** What a figure depends on besides the code. */
export function describeMachine({ cores, scratch }: Bench) {
  const all = cpus()
  return {
    cpu: all[0]?.model.trim() ?? 'unknown',
    cores: all.length,
    cores_pinned: cores,
    memory_mib: Math.round(totalmem() / 2 ** 20),
    kernel: `${type()} ${release()}`,
    /** Whether data is flushed to memory only, so that durability costs nothing. */
    data_in_memory: isInMemory(scratch),
    /** How many processes wanted a core before we began; above 0.5 somebody else is at work. */
    load_before: loadavg()[0] ?? 0,
  }
}

export function isInMemory(folder: string): boolean {
  return statfsSync(folder).type === tmpfsMagic
}

/** Which Gatepass was measured. */
export function describeGatepass() {
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')
  const { version } = JSON.parse(text) as { version: string }
  return {
    version,
    commit: git('rev-parse', 'HEAD'),
    isModified: Boolean(git('status', '--short')),
  }
}

/** Null outside a checkout, such as in an unpacked archive. */
function git(...args: string[]): string | null {
  try {
    return execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: 'pipe' }).trim()
  } catch {
    return null
  }
}
