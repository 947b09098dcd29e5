import { execFileSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { createAgent, exchange, type Headers } from '../harness/http.ts'
import { describeRun } from '../harness/result.ts'
import type { Bench } from '../harness/scenario.ts'
import type { Tell } from '../harness/workspace.ts'
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
 * Ten times the load, as a share of the capacity of Gatepass in a flood. The flood has no starting replicas,
 * no new keys and no refreshes. All replicas share one core, so a dead replica leaves no room.
 */
const share = 0.3
/** Users that one step signs out, one after the other. */
const signOutsPerStep = 2

/** Runs work with its own bench, then stops its processes. */
export type WithBench = <T>(name: string, work: (bench: Bench) => Promise<T>) => Promise<T>

export async function runSurge(
  systems: readonly System[],
  size: SurgeSize,
  withBench: WithBench,
  tell: Tell,
) {
  const provenance = await withBench('description', async (bench) => describeRun(bench))
  let unit_per_second = 0
  const unitFor = (capacity: number) => (unit_per_second ||= (capacity * share) / 10)
  const measured = []
  for (const system of systems) {
    const { name, title } = system
    const tellOf = (line: string) => tell(`${name}: ${line}`)
    const result = await withBench(name, async (bench) => {
      tellOf('starting')
      // This process generates the load.
      if (bench.cores !== null) pinOurselves(bench.cores.load)
      return runSystem(await startFleet(system, size.options, bench), size, unitFor, tellOf)
    })
    measured.push({ name, title, ...result })
  }
  const versions = { nginx: versionIn('nginx -v 2>&1'), redis: versionIn('redis-server --version') }
  // Actions per second at 1×, and the share of the first system's capacity at 10×.
  const calibration = { share, unit_per_second }
  const { options, script } = size
  return { ...provenance, versions, options, script, calibration, systems: measured }
}

function pinOurselves(core: number): void {
  const args = ['--all-tasks', '--cpu-list', '--pid', String(core), String(process.pid)]
  execFileSync('taskset', args, { stdio: 'ignore' })
}

function versionIn(command: string): string {
  const said = execFileSync('sh', ['-c', command], { encoding: 'utf8' })
  return /(?:v=|nginx\/)([\d.]+)/.exec(said)?.[1] ?? 'unknown'
}

/**
 * Sends one system through the surge.
 * @param unitFor returns the actions per second at 1× for the capacity of a system
 */
export async function runSystem(
  fleet: Fleet,
  { options, script, flood }: SurgeSize,
  unitFor: (capacity_per_second: number) => number,
  tell: Tell,
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
      await crowd.withSomebody(async (visitor) => {
        const dueMs = recorder.nowMs()
        const { headers, failure } = await visitor.signOutEverywhere()
        recorder.acted('sign out everywhere', dueMs, failure)
        if (failure !== null) return
        names.push(visitor.name)
        watches.push(watch(headers))
      })
    }
    return `${names.join(', ')} everywhere`
  }
  const take = async ({ atMs, name }: Step) => {
    await sleep(atMs)
    const done = await (name === 'sign-out' ? signOut() : fleet.act(name))
    const { actions, failures, signedOut } = recorder.totals()
    const soFar = `${actions} actions, ${failures} failures, ${signedOut} signed out so far`
    tell(`${(atMs / 1000).toFixed(1)} s ${name}: ${done ?? 'not here'}; ${soFar}`)
  }
  try {
    tell(`${options.users} users sign in`)
    await crowd.signIn()
    const floods = await measureFloods(fleet, crowd, flood)
    const unit = unitFor(floods.cold.per_second)
    tell(`${floods.cold.per_second.toFixed(0)} actions a second; 1× is ${unit.toFixed(0)}`)
    recorder.begin()
    // The pauses with which all users together produce ten times the unit.
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
 * Asks every replica directly with the headers of a signed-out user.
 * @returns how long after the sign-out they were last accepted; 0 for never
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
    // Asks often until all replicas refuse, then rarely, because new replicas start.
    await sleep(answers.includes(false) ? 40 : 1_000)
  }
  agent.destroy()
  return delayMs
}
