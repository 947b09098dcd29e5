import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Child } from '../harness/child.ts'
import { readingsLine } from '../harness/report.ts'
import type { Bench, Readings } from '../harness/scenario.ts'
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

/**
 * Measures each subject on both sides, one right after the other, and the other way round in the
 * next round: what else the machine does meets both.
 */
export async function runPairs(
  scenario: string,
  trees: Trees,
  wanted: readonly string[],
  bench: Bench,
  tell: (line: string) => void,
): Promise<Pair[]> {
  const workers = {
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
          const readings = await workers[side].measure(pair.subject)
          pair[side].push(readings)
          tell(`${scenario} ${round + 1} ${pair.subject}, ${side}: ${readingsLine(readings)}`)
        }
      }
    }
    return pairs
  } finally {
    await Promise.all([workers.ours.end(), workers.theirs.end()])
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

  async measure(subject: string): Promise<Readings> {
    const answer = await this.#ask({ measure: subject })
    return 'readings' in answer ? answer.readings : {}
  }

  async end(): Promise<void> {
    await this.#ask({ end: true }).catch(() => {})
    await this.#child.stop()
  }

  async #ask(order: WorkerOrder): Promise<WorkerAnswer> {
    this.#child.send(order)
    return this.#answer()
  }

  async #answer(): Promise<WorkerAnswer> {
    const answer = await this.#child.message<WorkerAnswer>()
    if ('failure' in answer) throw new Error(`${this.#side}: ${answer.failure}`)
    return answer
  }
}
