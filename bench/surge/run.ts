import { execFileSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { createAgent, exchange, type Headers } from '../harness/http.ts'
import { describeRun } from '../harness/result.ts'
import type { Bench } from '../harness/scenario.ts'
import type { Log, Workspace } from '../harness/workspace.ts'
import { Crowd } from './crowd.ts'
import { type Fleet, startFleet } from './fleet.ts'
import { type FloodSize, measureFloods } from './flood.ts'
import { Recorder } from './recorder.ts'
import type { Script, Step } from './script.ts'
import type { SurgeOptions, System } from './system.ts'

/** The result of `npm run bench -- surge` in `bench/results/surge-<time>.json`. */
export type SurgeResult = Awaited<ReturnType<typeof runSurge>>
export type SystemResult = SurgeResult['systems'][number]

export interface SurgeSize {
  readonly options: SurgeOptions
  readonly script: Script
  readonly flood: FloodSize
}

/**
 * The load at 10×, as a share of the capacity of the first system in a flood. The rest is for refreshes,
 * new keys and starting replicas. All replicas share one core, so a dead replica frees no capacity.
 */
const share = 0.3
/** Users that a step signs out everywhere. */
const signOutsPerStep = 2

export async function runSurge(
  systems: readonly System[],
  size: SurgeSize,
  workspace: Workspace,
  side: Pick<Bench, 'revision' | 'options'>,
  log: Log,
) {
  const provenance = describeRun({ ...side, cores: workspace.cores })
  let unit_per_second = 0
  const unitFor = (capacity: number) => (unit_per_second ||= (capacity * share) / 10)
  const measured = []
  for (const system of systems) {
    const { name, title } = system
    const logOf = (line: string) => log(`${name}: ${line}`)
    const result = await workspace.with(name, side, async (bench) => {
      logOf('starting')
      // This process generates the load.
      if (bench.cores !== null) pinOurselves(bench.cores.load)
      return runSystem(await startFleet(system, size.options, bench), size, unitFor, logOf)
    })
    measured.push({ name, title, ...result })
  }
  const versions = { nginx: versionIn('nginx -v 2>&1'), redis: versionIn('redis-server --version') }
  const calibration = { share, unit_per_second }
  const { options, script } = size
  return { ...provenance, versions, options, script, calibration, systems: measured }
}

function pinOurselves(core: number): void {
  const args = ['--all-tasks', '--cpu-list', '--pid', String(core), String(process.pid)]
  execFileSync('taskset', args, { stdio: 'ignore' })
}

function versionIn(command: string): string {
  const output = execFileSync('sh', ['-c', command], { encoding: 'utf8' })
  return /(?:v=|nginx\/)([\d.]+)/.exec(output)?.[1] ?? 'unknown'
}

/**
 * Sends one system through the surge.
 * @param unitFor returns the actions per second at 1× for the capacity of a system
 */
export async function runSystem(
  fleet: Fleet,
  { options, script, flood }: SurgeSize,
  unitFor: (capacity_per_second: number) => number,
  log: Log,
) {
  const recorder = new Recorder()
  const crowd = new Crowd(fleet, options, recorder)
  const watches: Promise<void>[] = []
  const over = new AbortController()
  const watch = async (headers: Headers) => {
    const signal = AbortSignal.any([over.signal, AbortSignal.timeout(options.accessTtl_s * 1000)])
    recorder.signedOutEverywhere(await watchSignOut(headers, fleet, signal))
  }
  const signOut = async () => {
    if (fleet.scheme.signOutEverywhere === undefined) return null
    const names: string[] = []
    for (let n = 0; n < signOutsPerStep; n++) {
      await crowd.withIdleUser(async (visitor) => {
        const dueMs = recorder.nowMs()
        const { headers, failure } = await visitor.signOutEverywhere()
        recorder.acted('sign out everywhere', dueMs, failure)
        if (failure !== null) return
        names.push(visitor.name)
        watches.push(watch(headers))
      })
    }
    return `${names.join(', ')} signed out everywhere`
  }
  const take = async ({ atMs, name }: Step) => {
    await sleep(atMs)
    const description = await (name === 'sign-out' ? signOut() : fleet.disrupt(name))
    const { actions, failures, signedOut } = recorder.totals()
    const soFar = `${actions} actions, ${failures} failures, ${signedOut} signed out so far`
    log(`${(atMs / 1000).toFixed(1)} s ${name}: ${description ?? 'not in this system'}; ${soFar}`)
  }
  try {
    log(`signing ${options.users} users in`)
    await crowd.signIn()
    const floods = await measureFloods(fleet, crowd, flood)
    const unit = unitFor(floods.cold.per_second)
    log(`${floods.cold.per_second.toFixed(0)} actions a second; 1× is ${unit.toFixed(0)}`)
    recorder.begin()
    // With these pauses, all users together cause the load at 10×.
    crowd.start(script, (1000 * options.users) / (10 * unit))
    await Promise.all([sleep(script.endMs), ...script.steps.map(take)])
    over.abort()
    await Promise.all(watches)
    await crowd.settled()
    await crowd.checkCarts()
    const [phases, series] = [recorder.phases(script), recorder.series(script)]
    return { floods, phases, series, totals: recorder.totals() }
  } finally {
    crowd.close()
  }
}

/**
 * Sends the credentials of a signed-out user to every replica, past nginx.
 * @returns how long after the sign-out a replica last accepted them; 0 for never
 */
async function watchSignOut(headers: Headers, fleet: Fleet, over: AbortSignal): Promise<number> {
  const agent = createAgent(16)
  const startMs = performance.now()
  let delayMs = 0
  const isRefused = async (guard: string) => {
    const sentMs = performance.now() - startMs
    const { status } = await exchange(guard, agent, { method: 'GET', path: '', headers })
    if (status === 200) delayMs = Math.max(delayMs, sentMs)
    return status === 401
  }
  while (!over.aborted) {
    const answers = await Promise.all(fleet.guards().map(isRefused))
    // After all replicas refuse, only new replicas could accept.
    await sleep(answers.includes(false) ? 40 : 1_000)
  }
  agent.destroy()
  return delayMs
}
