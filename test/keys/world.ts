import { manualKey, type PlannedKey, plannedKey } from '../../src/keys/plan.ts'
import { activeKey, forgettableKeys, inTurn, type KeyPolicy } from '../../src/keys/schedule.ts'
import type { KeyInfo } from '../../src/keys/store.ts'
import type { Algorithm } from '../../src/tokens/algorithms.ts'

/** One process from its start to its end, in true time. */
export interface Run {
  readonly startMs: number
  readonly endMs: number
  /** How far its clock is ahead of the true time. */
  readonly aheadMs: number
  readonly alg: Algorithm
  /** How often it looks at the store. */
  readonly everyMs: number
  /** When it is told to rotate by hand. */
  readonly rotations: readonly number[]
}

/** What a run knew from one look at the store until before the next. */
export interface Span {
  readonly run: Run
  readonly fromMs: number
  readonly untilMs: number
  /** In turn. */
  readonly keys: readonly KeyInfo[]
}

export interface History {
  readonly spans: readonly Span[]
  /** By kid: when the key was put into the store, and whether it signed at once. */
  readonly made: ReadonlyMap<string, { readonly atMs: number; readonly isFirst: boolean }>
}

/** Lets the runs share one store, in true time, and notes what each of them knew when. */
export function live(runs: readonly Run[], policy: KeyPolicy): History {
  const store = new Map<string, KeyInfo>()
  const made = new Map<string, { atMs: number; isFirst: boolean }>()
  const spans: Span[] = []

  const insert = (planned: PlannedKey | null, atMs: number, isFirst = false) => {
    if (planned === null || store.has(planned.name)) return
    // Neither rising nor falling with time, as a thumbprint is.
    const kid = `${(made.size * 7_919) % 100_003}`
    made.set(kid, { atMs, isFirst })
    store.set(planned.name, { ...planned, kid, createdAtMs: atMs })
  }
  const look = (run: Run, atMs: number) => {
    const nowMs = atMs + run.aheadMs
    const seen = [...store.values()]
    insert(plannedKey(seen, run.alg, policy, nowMs), atMs, seen.length === 0)
    const keys = inTurn([...store.values()])
    for (const { name } of forgettableKeys(keys, policy, nowMs)) store.delete(name)
    const untilMs = Math.min(atMs + run.everyMs, run.endMs)
    spans.push({ run, fromMs: atMs, untilMs, keys })
  }

  const events = runs.flatMap((run) => {
    const looks: { atMs: number; happen: () => void }[] = []
    for (let atMs = run.startMs; atMs < run.endMs; atMs += run.everyMs) {
      looks.push({ atMs, happen: () => look(run, atMs) })
    }
    const rotations = run.rotations.map((atMs) => ({
      atMs,
      happen: () => insert(manualKey(run.alg, policy, atMs + run.aheadMs), atMs),
    }))
    return [...looks, ...rotations]
  })
  for (const { happen } of events.sort((a, b) => a.atMs - b.atMs)) happen()
  return { spans, made }
}

/** A stretch of true time in which a run signs with one key. */
export interface Signing {
  readonly run: Run
  readonly kid: string
  readonly fromMs: number
  readonly untilMs: number
}

/** All that was signed. */
export function signings(history: History): Signing[] {
  return history.spans.flatMap(({ run, fromMs, untilMs, keys }) => {
    const turns = keys
      .map((key) => key.activateAtMs - run.aheadMs)
      .filter((turnMs) => turnMs > fromMs && turnMs < untilMs)
    const edges = [...new Set([fromMs, ...turns, untilMs])]
    return edges.slice(0, -1).flatMap((edge, position) => {
      const key = activeKey(keys, edge + run.aheadMs)
      const next = edges[position + 1] ?? untilMs
      return key === undefined ? [] : [{ run, kid: key.kid, fromMs: edge, untilMs: next }]
    })
  })
}
