import {
  activeKey,
  deletableKeys,
  dueKey,
  type KeyInfo,
  type KeyPolicy,
  manualKey,
  type NewKey,
  replacementKey,
  sortByActivation,
} from '../../src/keys/lifecycle.ts'
import type { Algorithm } from '../../src/tokens/algorithms.ts'

/** One process from its start to its end, in true time. */
export interface Run {
  readonly startMs: number
  readonly endMs: number
  /** How far its clock is ahead of the true time. */
  readonly aheadMs: number
  readonly alg: Algorithm
  /** Interval of its reads of the store. */
  readonly everyMs: number
  /** Times of manual rotations. */
  readonly rotations: readonly number[]
  /** Times of revocations, and which key is revoked, as a share of the number of keys. */
  readonly revocations: readonly { readonly atMs: number; readonly which: number }[]
}

/** The knowledge of a run between two reads of the store. */
export interface Span {
  readonly run: Run
  readonly fromMs: number
  readonly untilMs: number
  /** Sorted by activation. */
  readonly keys: readonly KeyInfo[]
}

export interface History {
  readonly spans: readonly Span[]
  /** By kid: when the key was put into the store, and whether it signed at once. */
  readonly made: ReadonlyMap<string, { readonly atMs: number; readonly isUrgent: boolean }>
  /** By kid: when it was revoked. */
  readonly revokedAtMs: ReadonlyMap<string, number>
}

/** Simulates the runs on one store, and records which keys each run knew at which time. */
export function simulate(runs: readonly Run[], policy: KeyPolicy): History {
  const store = new Map<string, KeyInfo>()
  const made = new Map<string, { atMs: number; isUrgent: boolean }>()
  const revokedAtMs = new Map<string, number>()
  const spans: Span[] = []

  const insert = (run: Run, planned: NewKey | null, atMs: number, isUrgent = false) => {
    if (planned === null || store.has(planned.name)) return
    // Like thumbprints, kids are not in the order of time.
    const kid = `${(made.size * 7_919) % 100_003}`
    made.set(kid, { atMs, isUrgent })
    const createdAtMs = atMs + run.aheadMs
    store.set(planned.name, { ...planned, kid, createdAtMs, revokedAtMs: null })
  }
  const revoke = (run: Run, atMs: number, which: number) => {
    const keys = [...store.values()].filter((key) => key.revokedAtMs === null)
    const key = keys[Math.min(Math.floor(which * keys.length), keys.length - 1)]
    if (key === undefined) return
    const nowMs = atMs + run.aheadMs
    insert(run, replacementKey(key.kid, [...store.values()], run.alg, policy, nowMs), atMs, true)
    store.set(key.name, { ...key, revokedAtMs: nowMs })
    revokedAtMs.set(key.kid, atMs)
  }
  const read = (run: Run, atMs: number) => {
    const nowMs = atMs + run.aheadMs
    const seen = [...store.values()]
    insert(run, dueKey(seen, run.alg, policy, nowMs), atMs, seen.length === 0)
    const keys = sortByActivation([...store.values()])
    for (const { name } of deletableKeys(keys, policy, nowMs)) store.delete(name)
    const untilMs = Math.min(atMs + run.everyMs, run.endMs)
    spans.push({ run, fromMs: atMs, untilMs, keys })
  }

  const events = runs.flatMap((run) => {
    const reads: { atMs: number; happen: () => void }[] = []
    for (let atMs = run.startMs; atMs < run.endMs; atMs += run.everyMs) {
      reads.push({ atMs, happen: () => read(run, atMs) })
    }
    const rotations = run.rotations.map((atMs) => ({
      atMs,
      happen: () => insert(run, manualKey(run.alg, policy, atMs + run.aheadMs), atMs),
    }))
    const revocations = run.revocations.map(({ atMs, which }) => ({
      atMs,
      happen: () => revoke(run, atMs, which),
    }))
    return [...reads, ...rotations, ...revocations]
  })
  for (const { happen } of events.sort((a, b) => a.atMs - b.atMs)) happen()
  return { spans, made, revokedAtMs }
}

/** A stretch of true time in which a run signs with one key. */
export interface Signing {
  readonly run: Run
  readonly kid: string
  readonly fromMs: number
  readonly untilMs: number
}

/** Returns the intervals in which each run signs with one key. */
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
