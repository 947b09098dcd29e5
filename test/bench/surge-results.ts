import type { Moment, SurgeResult, SystemResult } from '../../bench/old/surge/result.ts'
import { createScript, type Script } from '../../bench/old/surge/script.ts'

/** Made-up results of a surge: nothing here was measured. */

const seconds = 150
const script = createScript(10_000)

function momentAt(second: number, { stretches }: Script, share: number): Moment {
  const tMs = second * 1000
  const factor = stretches.find(({ endMs }) => tMs < endMs)?.factor ?? 0
  const requests = factor * 40
  const failures = second >= 44 && second < 60 ? Math.round(requests * share) : 0
  const p50 = 2 + factor / 2
  return {
    ...{ tMs, requests, failures, firstFailures: failures * 2, byReplica: {} },
    ...(second === 70 ? { p50: null, p99: null } : { p50, p99: p50 * (6 + (second % 7)) }),
  }
}

/** @param share of the requests that fail for a while */
export function madeUpSystem(name: string, title: string, share: number): SystemResult {
  const series = Array.from({ length: seconds }, (_, second) => momentAt(second, script, share))
  const failures = series.reduce((sum, moment) => sum + moment.failures, 0)
  const actions = series.reduce((sum, moment) => sum + moment.requests, 0)
  const isGood = share === 0
  return {
    ...{ name, title, setUp: [`${title}, made up`], series, failures: [] },
    capacity_per_second: 800,
    phases: script.stretches.map((stretch) => ({
      ...stretch,
      ...{ rate: stretch.factor * 40, ended_per_second: stretch.factor * 40, requests: 400 },
      ...{ failures: isGood ? 0 : 3, p50: 4.2, p99: 18.3, p999: 97, max: 240 },
    })),
    events: script.steps.map(({ atMs, name: step }) => ({
      ...{ tMs: atMs, name: step, detail: `${step} 1` },
      applies: isGood || step !== 'rotate-keys',
    })),
    totals: {
      ...{ failures, failuresByKind: isGood ? {} : { '502': failures } },
      ...{
        signedOut: isGood ? 0 : 214,
        signedOutByReason: isGood ? {} : { '401 unauthorized': 214 },
        lostItems: isGood ? 0 : 80,
        cartsWithLoss: isGood ? 0 : 61,
      },
      ...{ signOuts: isGood ? 5 : 0, lateSignOuts: 0, signOutBites_ms: isGood ? [40, 110.5] : [] },
      ...{ doubledItems: 0, actions, actionsByName: { browse: actions }, requests: actions },
      ...{ retries: 12, firstFailures: failures * 2, firstFailuresByKind: { '502': failures * 2 } },
      ...{ cartsCompared: 1200, logins: 300, refreshes: 900, p50: 4, p99: 18, p999: 97 },
    },
    client: { lag_p99_ms: 1.2, lag_max_ms: 9, busy: 0.4 },
  }
}

export function madeUpSurge(): SurgeResult {
  return {
    kind: 'surge',
    date: '2026-11-24T12:00:00.000Z',
    machine: {
      ...{ cpu: 'Some CPU', cores: 2, cores_pinned: { server: 0, load: 1 }, memory_mib: 8192 },
      ...{ kernel: 'Linux 6.0', data_in_memory: false, load_before: 0.1 },
    },
    versions: {
      gatepass: { version: '0.1.0', commit: '0123456789abcdef', isModified: false },
      ...{ node: 'v24.0.0', nginx: '1.26.3', redis: '8.0.2' },
    },
    options: {
      ...{ isQuick: false, users: 2000, verifiers: 3, shops: 2, issuers: 2, accessTtl_s: 30 },
      ...{ argon2id: { memory_kib: 64, passes: 1, parallelism: 1 }, fault: null },
      lostRefreshes: 0.02,
    },
    script,
    calibration: { capacity_per_second: 800, share: 0.5, unit_per_second: 40 },
    systems: {
      gatepass: madeUpSystem('gatepass', 'Gatepass', 0),
      'sticky-sessions': madeUpSystem('sticky-sessions', 'Sessions in memory, sticky', 0.3),
      'redis-sessions': madeUpSystem('redis-sessions', '@fastify/session on Redis', 0.05),
      introspection: madeUpSystem('introspection', 'Introspection at every request', 0.12),
      'hand-rolled': madeUpSystem('hand-rolled', '@fastify/jwt, hand-rolled on Redis', 0.02),
    },
  }
}

export const madeUpScale = {
  kind: 'scale',
  ...{ date: '2026-11-24T10:00:00.000Z', node: 'v24.0.0', simulation: null },
  sweeps: [
    {
      ...{ name: 'tokens', title: 'a verification', of: 'tokens', leftOut: ['1,000,000 tokens'] },
      columns: [{ key: 'ns', label: 'ns', digits: 1, tenfoldUnder: 1.1 }],
      points: [1000, 10_000].map((size) => ({ size, readings: [{ ns: 40 + size / 5000 }] })),
      growth: [{ key: 'ns', exponent: 0.02, tenfold: 1.05, ends: 1.05 }],
    },
  ],
}
