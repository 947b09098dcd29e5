import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { build } from '../harness/built.ts'
import type { Cores } from '../harness/cores.ts'
import {
  type Bench,
  type BenchOptions,
  type PreparedScenario,
  type Readings,
  withConnections,
} from '../harness/scenario.ts'
import { scenarios } from '../scenarios/index.ts'

/**
 * Measures one revision: this file runs in a copy of it, and prepares one scenario there. Then it
 * measures a subject whenever it is asked to, until it is told to end.
 */

export interface WorkerSettings {
  readonly scenario: string
  readonly options: BenchOptions
  readonly cores: Cores | null
  readonly scratch: string
}

export type WorkerOrder =
  | { readonly measure: string }
  /** The instructions of one work in a loop, counted over so many. */
  | { readonly count: string; readonly times: number }
  | { readonly end: true }

export type WorkerAnswer =
  | { readonly subjects: readonly string[] }
  | { readonly readings: Readings }
  | { readonly failure: string }
  | { readonly ended: true }

const settings = JSON.parse(process.argv[2] ?? '{}') as WorkerSettings
const ends: (() => Promise<void>)[] = []
let prepared: PreparedScenario = { subjects: [], comparisons: [] }

async function prepare(): Promise<WorkerAnswer> {
  const { scenario: name, options, cores, scratch } = settings
  const scenario = scenarios.find((one) => one.name === name)
  if (scenario === undefined) throw new Error(`there is no scenario ${name}`)
  const tree = join(scratch, 'built')
  mkdirSync(tree, { recursive: true })
  build(tree)
  const bench: Bench = { options, cores, scratch, defer: (end) => void ends.unshift(end) }
  prepared = await scenario.prepare(withConnections(scenario.connections, bench))
  return { subjects: prepared.subjects.map((subject) => subject.name) }
}

async function carryOut(order: WorkerOrder): Promise<WorkerAnswer> {
  if ('end' in order) {
    for (const end of ends) await end()
    return { ended: true }
  }
  const wanted = 'count' in order ? order.count : order.measure
  const subject = prepared.subjects.find(({ name }) => name === wanted)
  if (subject === undefined) throw new Error(`there is no subject ${wanted}`)
  if (!('count' in order)) return { readings: await subject.measure() }
  const instructions = await subject.countInstructions?.(order.times)
  return { readings: instructions === undefined ? {} : { instructions } }
}

async function answer(work: Promise<WorkerAnswer>): Promise<void> {
  const told = await work.catch((error): WorkerAnswer => ({ failure: String(error) }))
  process.send?.(told)
}

process.on('message', (order) => void answer(carryOut(order as WorkerOrder)))
process.once('disconnect', () => process.exit())
await answer(prepare())
