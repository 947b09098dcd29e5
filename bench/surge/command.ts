import { writeFileSync } from 'node:fs'
import { markdownTable, textTable, writeInto } from '../harness/report.ts'
import { saveResult } from '../harness/result.ts'
import { type Tell, Workspace } from '../harness/workspace.ts'
import { type Arguments, UsageError } from '../options.ts'
import { floodTable } from './flood.ts'
import { gatepassSystems } from './gatepass.ts'
import { surgePicture } from './picture.ts'
import { surgeReport } from './report.ts'
import { rivals } from './rivals.ts'
import { runSurge, type SurgeSize, type WithBench } from './run.ts'
import { createScript, noScript } from './script.ts'
import type { System } from './system.ts'

/** The systems of the surge, in this order. The load is a share of the capacity of the first system. */
const systems: readonly System[] = [...gatepassSystems, ...rivals]

const root = new URL('../../', import.meta.url)

/** @param given the names of systems; default: all */
export async function surge(given: Arguments, tell: Tell): Promise<void> {
  const { names, options, only, isQuick, intoDocument } = given
  const unknown = names.find((name) => !systems.some((one) => one.name === name))
  if (unknown !== undefined) throw new UsageError(`There is no system ${unknown}.`)
  if (!['', 'flood'].includes(only)) throw new UsageError('A surge takes --only flood.')
  if (intoDocument && names.length > 0) throw new UsageError('Only a whole run is for a document.')
  const chosen = systems.filter(({ name }) => names.length === 0 || names.includes(name))
  const workspace = new Workspace(tell)
  const side = { revision: workspace.install(), options }
  const withBench: WithBench = (name, work) => workspace.with(name, side, work)
  const isFlood = only === 'flood'
  const result = await runSurge(chosen, sizeOf(isQuick, isFlood), withBench, tell)
  tell(`raw values: ${saveResult(isFlood ? 'flood' : 'surge', result)}`)
  const said = isFlood ? textTable(floodTable(result.systems)) : surgeReport(result, textTable)
  process.stdout.write(`\n${said}\n`)
  if (!intoDocument) return
  for (const path of ['README.md', 'docs/benchmarks.md']) {
    writeInto(new URL(path, root), 'surge', surgeReport(result, markdownTable))
  }
  writeFileSync(new URL('docs/images/surge.svg', root), surgePicture(result))
}

function sizeOf(isQuick: boolean, isFlood: boolean): SurgeSize {
  const replicas = { issuer: 2, verifier: 2, shop: 3 }
  const [users, accessTtl_s, beatMs, floodMs, warmUpMs] = isQuick
    ? [1_000, 15, 1_300, 2_000, 6_000]
    : [4_000, 30, 4_000, 4_000, 20_000]
  return {
    options: { isQuick, users, replicas, accessTtl_s, lostRefreshes: 0.02 },
    // After a flood alone, the carts are checked at once.
    script: isFlood ? noScript : createScript(beatMs),
    flood: { floodMs, warmUpMs },
  }
}
