import { writeFileSync } from 'node:fs'
import { markdownTable, textTable, writeInto } from '../harness/report.ts'
import { saveResult } from '../harness/result.ts'
import { type Log, Workspace } from '../harness/workspace.ts'
import { type Arguments, UsageError } from '../options.ts'
import { floodTable } from './flood.ts'
import { gatepassSystems } from './gatepass.ts'
import { surgePicture } from './picture.ts'
import { surgeReport } from './report.ts'
import { rivals } from './rivals.ts'
import { runSurge, type SurgeSize } from './run.ts'
import { createScript, noScript } from './script.ts'
import type { System } from './system.ts'

/** The systems of the surge, in their order. */
const systems: readonly System[] = [...gatepassSystems, ...rivals]

const root = new URL('../../', import.meta.url)

/** Runs the named systems; without names, all of them. */
export async function surge(args: Arguments, log: Log): Promise<void> {
  const { names, options, only, isQuick, intoDocument } = args
  const unknown = names.find((name) => !systems.some((one) => one.name === name))
  if (unknown !== undefined) throw new UsageError(`There is no system ${unknown}.`)
  if (!['', 'flood'].includes(only)) throw new UsageError('A surge takes --only flood.')
  if (intoDocument && names.length > 0)
    throw new UsageError('A document takes the result of all systems only.')
  const chosen = systems.filter(({ name }) => names.length === 0 || names.includes(name))
  const workspace = new Workspace(log)
  const side = { revision: workspace.install(), options }
  const isFlood = only === 'flood'
  const result = await runSurge(chosen, sizeOf(isQuick, isFlood), workspace, side, log)
  log(`raw values: ${saveResult(isFlood ? 'flood' : 'surge', result)}`)
  const report = isFlood ? textTable(floodTable(result.systems)) : surgeReport(result, textTable)
  process.stdout.write(`\n${report}\n`)
  if (!intoDocument) return
  for (const path of ['README.md', 'docs/benchmarks.md']) {
    writeInto(new URL(path, root), 'surge', surgeReport(result, markdownTable))
  }
  writeFileSync(new URL('docs/images/surge.svg', root), surgePicture(result))
}

const full = { users: 4_000, accessTtl_s: 30, beatMs: 4_000, floodMs: 4_000, warmUpMs: 20_000 }
const quick = { users: 1_000, accessTtl_s: 15, beatMs: 1_300, floodMs: 2_000, warmUpMs: 6_000 }

function sizeOf(isQuick: boolean, isFlood: boolean): SurgeSize {
  const replicas = { issuer: 2, verifier: 2, shop: 3 }
  const { users, accessTtl_s, beatMs, ...flood } = isQuick ? quick : full
  return {
    options: { isQuick, users, replicas, accessTtl_s, lossShare: 0.02 },
    script: isFlood ? noScript : createScript(beatMs),
    flood,
  }
}
