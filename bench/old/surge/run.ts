import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { processorTime_s } from '../harness/process-figures.ts'
import { phasesOf, seriesOf, totalsOf } from './figures.ts'
import { Crowd } from './load/crowd.ts'
import { Recorder } from './load/recorder.ts'
import { watchSignOut } from './load/sign-out-watch.ts'
import type { SurgeEvent, SystemResult } from './result.ts'
import { factorAt, type Script, type Step } from './script.ts'
import type { RunningSystem, SurgeContext, System } from './system.ts'

/** How often it is told how it goes. */
const tellEveryMs = 5_000
/** Users whom one sign-out step signs out, one after the other. */
const signOutsPerStep = 2

export interface SurgePlan {
  readonly script: Script
  readonly floodMs: number
  /** Actions a second at 1×, given what this system took in a flood. */
  unitFor(capacity_per_second: number): number
}

/** Sends one system through the surge. */
export async function runSystem(
  system: System,
  ctx: SurgeContext,
  plan: SurgePlan,
): Promise<SystemResult> {
  ctx.tell(`${system.name}: starting`)
  const running = await system.start(ctx)
  const recorder = new Recorder()
  const crowd = new Crowd(running, ctx, recorder)
  try {
    ctx.tell(`${system.name}: ${ctx.users.length} users sign in`)
    await crowd.signIn()
    const capacity_per_second = await crowd.flood(plan.floodMs)
    const unit = plan.unitFor(capacity_per_second)
    ctx.tell(
      `${system.name}: takes ${Math.round(capacity_per_second)} actions a second; 1× is ${Math.round(unit)}`,
    )
    const surge = new Surge(running, crowd, recorder, ctx)
    const measured = await surge.run(plan.script, unit)
    return {
      name: system.name,
      title: system.title,
      setUp: running.setUp,
      capacity_per_second,
      phases: phasesOf(recorder, plan.script, unit),
      series: seriesOf(recorder, plan.script),
      totals: totalsOf(recorder),
      failures: recorder.failures,
      ...measured,
    }
  } finally {
    crowd.close()
    await running.stop()
  }
}

class Surge {
  readonly #running: RunningSystem
  readonly #crowd: Crowd
  readonly #recorder: Recorder
  readonly #ctx: SurgeContext
  readonly #events: SurgeEvent[] = []
  readonly #over = new AbortController()
  readonly #watches: Promise<void>[] = []

  constructor(running: RunningSystem, crowd: Crowd, recorder: Recorder, ctx: SurgeContext) {
    this.#running = running
    this.#crowd = crowd
    this.#recorder = recorder
    this.#ctx = ctx
  }

  async run(script: Script, unit: number): Promise<Pick<SystemResult, 'events' | 'client'>> {
    const figures = startClientFigures()
    this.#recorder.begin()
    // All users are active at ten times the unit.
    this.#crowd.start(script, (1000 * this.#ctx.users.length) / (10 * unit))
    const ticker = setInterval(() => this.#tell(script), tellEveryMs)
    const steps = Promise.all(script.steps.map((step) => this.#takeStep(step)))
    await sleep(script.endMs)
    clearInterval(ticker)
    const client = figures()
    await steps
    this.#over.abort()
    await Promise.all(this.#watches)
    await this.#crowd.settled()
    await this.#crowd.checkCarts()
    return { client, events: this.#events.toSorted((a, b) => a.tMs - b.tMs) }
  }

  #tell(script: Script): void {
    const nowMs = this.#recorder.nowMs()
    const { failuresByKind, signedOutByReason, lostItems } = this.#recorder
    const rate = this.#recorder.endedSince(nowMs - tellEveryMs) / (tellEveryMs / 1000)
    this.#ctx.tell(
      `${secondsOf(nowMs)}  ${factorAt(script, nowMs)}×: ${Math.round(rate)} actions a second; so far ${failuresByKind.sum} failures, ${signedOutByReason.sum} signed out, ${lostItems} items lost`,
    )
  }

  async #takeStep({ atMs, name }: Step): Promise<void> {
    await sleep(atMs)
    const tMs = Math.round(this.#recorder.nowMs())
    const detail = name === 'sign-out' ? await this.#signOut() : await this.#running.act(name)
    this.#events.push({ tMs, name, detail: detail ?? '', applies: detail !== null })
    this.#ctx.tell(`${secondsOf(tMs)}  ${name}: ${detail ?? 'not here'}`)
  }

  async #signOut(): Promise<string | null> {
    if (this.#running.scheme.signOutEverywhere === undefined) return null
    const names: string[] = []
    for (let n = 0; n < signOutsPerStep; n++) {
      await this.#crowd.withSomebody(async (visitor) => {
        const dueMs = this.#recorder.nowMs()
        const { headers, failure } = await visitor.signOutEverywhere()
        this.#recorder.acted('sign out everywhere', dueMs, failure)
        if (failure !== null) return
        names.push(visitor.user.name)
        this.#watch(headers)
      })
    }
    return `${names.join(', ')} everywhere`
  }

  #watch(headers: Readonly<Record<string, string>>): void {
    const watched = {
      headers,
      guards: () => this.#running.guards(),
      lifeMs: this.#ctx.options.accessTtl_s * 1000,
      signal: this.#over.signal,
    }
    const note = (biteMs: number) => void this.#recorder.signOutBites_ms.push(biteMs)
    this.#watches.push(watchSignOut(watched).then(note))
  }
}

function secondsOf(ms: number): string {
  return `${(ms / 1000).toFixed(1).padStart(6)} s`
}

/** @returns what says how it was, from now until it is called */
function startClientFigures(): () => SystemResult['client'] {
  const delay = monitorEventLoopDelay({ resolution: 5 })
  delay.enable()
  const startMs = performance.now()
  const before_s = processorTime_s(process.pid)
  return () => {
    delay.disable()
    const elapsed_s = (performance.now() - startMs) / 1000
    return {
      lag_p99_ms: delay.percentile(99) / 1e6,
      lag_max_ms: delay.max / 1e6,
      busy: (processorTime_s(process.pid) - before_s) / elapsed_s,
    }
  }
}
