import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { PasswordHasher } from '../../../src/issuer/passwords/password-hasher.ts'
import { describeGatepass, describeMachine } from '../harness/machine.ts'
import type { Bench } from '../harness/scenario.ts'
import type { SurgeSize } from './options.ts'
import type { SurgeResult, SystemResult, Versions } from './result.ts'
import { runSystem } from './run.ts'
import type { System } from './system.ts'

export interface SurgeOrder {
  readonly size: SurgeSize
  readonly systems: readonly System[]
  readonly bench: Bench
  tell(line: string): void
}

const password = 'correct horse battery staple'

/** Sends each system through the same surge. */
export async function runSurge({ size, systems, bench, tell }: SurgeOrder): Promise<SurgeResult> {
  const { options, script, floodMs, share } = size
  const machine = describeMachine(bench)
  if (bench.cores !== null) pinOurselves(bench.cores.load)
  const users = Array.from({ length: options.users }, (_, n) => ({ name: `user-${n}`, password }))
  const passwordHash = await new PasswordHasher(options.argon2id).hash(password)
  const results: SystemResult[] = []
  let unit_per_second: number | null = null
  const unitFor = (capacity: number) => (unit_per_second ??= (capacity * share) / 10)
  for (const system of systems) {
    const ends: (() => Promise<void>)[] = []
    const scratch = join(bench.scratch, system.name)
    mkdirSync(scratch)
    const own = { ...bench, scratch, defer: (end: () => Promise<void>) => void ends.unshift(end) }
    try {
      const ctx = { options, users, passwordHash, bench: own, tell }
      results.push(await runSystem(system, ctx, { script, floodMs, unitFor }))
    } finally {
      await Promise.allSettled(ends.map((end) => end()))
    }
  }
  return {
    kind: 'surge',
    date: new Date().toISOString(),
    machine,
    versions: describeVersions(),
    options,
    script,
    calibration: {
      capacity_per_second: results[0]?.capacity_per_second ?? 0,
      share,
      unit_per_second: unit_per_second ?? 0,
    },
    systems: Object.fromEntries(results.map((result) => [result.name, result])),
  }
}

/** The load is this process: it gets a core, and what it starts is told its own. */
function pinOurselves(core: number): void {
  const args = ['--all-tasks', '--cpu-list', '--pid', String(core), String(process.pid)]
  execFileSync('taskset', args, { stdio: 'ignore' })
}

function describeVersions(): Versions {
  // nginx says it on standard error.
  const nginx = execFileSync('sh', ['-c', 'nginx -v 2>&1'], { encoding: 'utf8' })
  const redis = execFileSync('redis-server', ['--version'], { encoding: 'utf8' })
  return {
    gatepass: describeGatepass(),
    node: process.version,
    nginx: /nginx\/(\S+)/.exec(nginx)?.[1] ?? 'unknown',
    redis: /v=(\S+)/.exec(redis)?.[1] ?? 'unknown',
  }
}
