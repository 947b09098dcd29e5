import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { z } from 'zod'
import type { Result } from '../harness/result.ts'
import type { ScaleResult } from '../scale/result.ts'
import type { SurgeResult } from '../surge/result.ts'

/** Reads the files that runs leave, and says of one that it can't read what it misses. */

const count = z.number()
const perName = z.record(z.string(), count)
const text = z.string()

/** What the report shows; a file may hold more. */
const surge = z.looseObject({
  kind: z.literal('surge'),
  date: text,
  machine: z.looseObject({ cpu: text, cores: count, memory_mib: count, kernel: text }),
  versions: z.looseObject({
    gatepass: z.looseObject({ version: text, commit: text.nullable(), isModified: z.boolean() }),
    node: text,
    nginx: text,
    redis: text,
  }),
  options: z.looseObject({
    ...{ isQuick: z.boolean(), users: count, fault: text.nullable() },
    ...{ accessTtl_s: count, lostRefreshes: count },
  }),
  calibration: z.looseObject({ capacity_per_second: count, share: count, unit_per_second: count }),
  systems: z.record(
    text,
    z.looseObject({
      name: text,
      title: text,
      setUp: z.array(text),
      capacity_per_second: count,
      phases: z.array(
        z.looseObject({
          ...{ name: text, startMs: count, endMs: count, factor: count, rate: count },
          ...{ ended_per_second: count, requests: count, failures: count },
          ...{ p50: count, p99: count, p999: count, max: count },
        }),
      ),
      series: z.array(
        z.looseObject({
          ...{ tMs: count, requests: count, failures: count, firstFailures: count },
          ...{ p50: count.nullable(), p99: count.nullable() },
        }),
      ),
      events: z.array(
        z.looseObject({ tMs: count, name: text, detail: text, applies: z.boolean() }),
      ),
      totals: z.looseObject({
        ...{ failures: count, failuresByKind: perName, signedOut: count, lostItems: count },
        signedOutByReason: perName,
        ...{ cartsWithLoss: count, signOuts: count, lateSignOuts: count, doubledItems: count },
        ...{ signOutBites_ms: z.array(count), actions: count, firstFailures: count },
        ...{ firstFailuresByKind: perName, cartsCompared: count },
      }),
      client: z.looseObject({ lag_p99_ms: count, lag_max_ms: count, busy: count }),
    }),
  ),
})

const scenarioResult = z.looseObject({
  scenario: text,
  title: text,
  date: text,
  subjects: z.array(z.looseObject({ subject: text, readings: z.array(perName) })),
  comparisons: z.array(z.looseObject({ subject: text, metric: text })),
})

const scale = z.looseObject({
  kind: z.literal('scale'),
  ...{ date: text, node: text },
  sweeps: z.array(
    z.looseObject({
      ...{ name: text, title: text, of: text, leftOut: z.array(text) },
      columns: z.array(z.looseObject({ key: text, label: text, digits: count })),
      points: z.array(z.looseObject({ size: count, readings: z.array(perName) })),
      growth: z.array(z.looseObject({ key: text, tenfold: count })),
    }),
  ),
  simulation: z.looseObject({}).nullable(),
})

/** @throws with what is wrong, when it is no result of a surge, or one of another form */
export function parseSurge(json: string, name: string): SurgeResult {
  return parse(surge, json, name, 'the result of a surge') as unknown as SurgeResult
}

export function readSurge(path: string): SurgeResult {
  return parseSurge(readFileSync(path, 'utf8'), basename(path))
}

export function parseScenario(json: string, name: string): Result {
  return parse(scenarioResult, json, name, 'the result of a scenario') as unknown as Result
}

export function parseScale(json: string, name: string): ScaleResult {
  return parse(scale, json, name, 'the result of a scale run') as unknown as ScaleResult
}

function parse<T>(schema: z.ZodType<T>, json: string, name: string, what: string): T {
  const value = decode(json, name)
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const problems = parsed.error.issues
    .slice(0, 3)
    .map(({ path, message }) => `${path.join('.') || 'the whole'}: ${message}`)
  const more = parsed.error.issues.length > 3 ? ' …' : ''
  throw new Error(
    `${name} is not ${what} in the form of this version (${problems.join('; ')}${more}).${madeBy(value)}`,
  )
}

function decode(json: string, name: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    throw new Error(`${name} is not JSON.`)
  }
}

const origin = z.object({
  versions: z.object({ gatepass: z.object({ commit: z.string().regex(/^[0-9a-f]{8,64}$/) }) }),
})

/** Where a file of another form can be read. */
function madeBy(value: unknown): string {
  const parsed = origin.safeParse(value)
  if (!parsed.success) return ''
  const commit = parsed.data.versions.gatepass.commit.slice(0, 8)
  return ` Gatepass ${commit} made it: check that out to read it, or run the surge again.`
}
