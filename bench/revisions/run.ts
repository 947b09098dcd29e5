import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Child } from '../harness/child.ts'
import { isPresent } from '../harness/compare.ts'
import { readingsLine } from '../harness/report.ts'
import type { Bench, Readings } from '../harness/scenario.ts'
import { median } from '../harness/statistics.ts'
import type { WorkerAnswer, WorkerOrder, WorkerSettings } from './worker.ts'

/** What one subject gave, here and at the revision, one value for each round. */
export interface Pair {
  readonly scenario: string
  readonly subject: string
  readonly ours: Readings[]
  readonly theirs: Readings[]
}

export interface Trees {
  readonly ours: string
  readonly theirs: string
}

type Side = keyof Trees
type Tell = (line: string) => void
type Workers = Readonly<Record<Side, Worker>>

export interface PairsContext {
  readonly bench: Bench
  readonly usesCachegrind: boolean
  readonly tell: Tell
}

/** How often instructions are counted on each side: what is random differs from one to the next. */
const counts = 3
/** Over as many works as take so long on a processor that is not simulated. */
const counted_s = 0.1

/**
 * Measures each subject on both sides, one right after the other, and the other way round in the
 * next round: what else the machine does meets both.
 */
export async function runPairs(
  scenario: string,
  trees: Trees,
  wanted: readonly string[],
  { bench, usesCachegrind, tell }: PairsContext,
): Promise<Pair[]> {
  const workers: Workers = {
    ours: new Worker('ours', scenario, trees.ours, bench),
    theirs: new Worker('theirs', scenario, trees.theirs, bench),
  }
  try {
    tell(`${scenario}: preparing both`)
    const names = await workers.ours.prepare()
    const common = (await workers.theirs.prepare()).filter((name) => names.includes(name))
    const chosen = common.filter((name) => wanted.length === 0 || wanted.includes(name))
    if (chosen.length === 0) throw new Error(`${scenario} has no such subject`)
    const pairs = chosen.map((subject): Pair => ({ scenario, subject, ours: [], theirs: [] }))
    for (let round = 0; round < bench.options.rounds; round++) {
      const isEven = round % 2 === 0
      const sides: Side[] = isEven ? ['ours', 'theirs'] : ['theirs', 'ours']
      for (const pair of isEven ? pairs : pairs.toReversed()) {
        for (const side of sides) {
          const readings = await workers[side].ask({ measure: pair.subject })
          pair[side].push(readings)
          tell(`${scenario} ${round + 1} ${pair.subject}, ${side}: ${readingsLine(readings)}`)
        }
      }
    }
    if (usesCachegrind) for (const pair of pairs) await countBoth(pair, workers, tell)
    return pairs
  } finally {
    await Promise.all([workers.ours.end(), workers.theirs.end()])
  }
}

/** Adds counts of instructions; what is no loop has none. */
async function countBoth(pair: Pair, workers: Workers, tell: Tell): Promise<void> {
  const rates = pair.ours.map(({ per_second }) => per_second).filter(isPresent)
  const times = Math.ceil(median(rates) * counted_s)
  for (let count = 0; count < counts; count++) {
    for (const side of ['ours', 'theirs'] as const) {
      const readings = await workers[side].ask({ count: pair.subject, times })
      if (readings.instructions === undefined) return
      pair[side].push(readings)
      tell(`${pair.scenario} ${pair.subject}, ${side}: ${readingsLine(readings)}`)
    }
  }
}

/** A process that measures one side. */
class Worker {
  readonly #child: Child
  readonly #side: Side

  constructor(side: Side, scenario: string, tree: string, { options, cores, scratch }: Bench) {
    const data = join(scratch, `${scenario}-${side}`)
    const settings: WorkerSettings = { scenario, options, cores, scratch: data }
    this.#side = side
    this.#child = new Child(
      {
        name: `${scenario} of ${side}`,
        module: pathToFileURL(join(tree, 'bench/revisions/worker.ts')),
        args: [JSON.stringify(settings)],
        core: 'load',
      },
      // What it starts is pinned, and it may be on another core than the worker.
      null,
    )
  }

  /** @returns the names of its subjects */
  async prepare(): Promise<readonly string[]> {
    const answer = await this.#answer()
    return 'subjects' in answer ? answer.subjects : []
  }

  async ask(order: WorkerOrder): Promise<Readings> {
    this.#child.send(order)
    const answer = await this.#answer()
    return 'readings' in answer ? answer.readings : {}
  }

  async end(): Promise<void> {
    await this.ask({ end: true }).catch(() => {})
    await this.#child.stop()
  }

  async #answer(): Promise<WorkerAnswer> {
    const answer = await this.#child.message<WorkerAnswer>()
    if ('failure' in answer) throw new Error(`${this.#side}: ${answer.failure}`)
    return answer
  }
}
