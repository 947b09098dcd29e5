import { setTimeout as sleep } from 'node:timers/promises'
import type { Bench } from '../../harness/scenario.ts'
import { type Server, startServer } from '../../harness/server.ts'
import { runLoad } from '../../harness/subjects.ts'
import type { Traffic } from '../../load/traffic.ts'
import { linesTraffic } from '../../scenarios/guarded-traffic.ts'
import { verifierSpec } from '../../scenarios/verifier-service.ts'
import { type Asked, askedOf, isStreaming } from '../issuer-metrics.ts'
import type { Figures } from '../result.ts'
import { identity, type SessionIssuer, sessionIssuer } from '../session-issuer.ts'
import type { Sweep } from '../sweep.ts'

/** So short that there are many fetches in one measurement. */
const jwksMaxAge_s = 1
const sessionCount = 256
/** Of all load together. */
const connections = 64

/** Verifiers as processes of their own, one issuer for all. What they ask of it, it says itself. */
export const replicas: Sweep = {
  name: 'replicas',
  title: `what verifiers ask of an issuer whose keys may be kept for ${jwksMaxAge_s} s`,
  of: 'replicas',
  sizes: [1, 2, 4, 8],
  columns: [
    { key: 'streams', label: 'streams', digits: 0, tenfoldUnder: 11 },
    { key: 'snapshots', label: 'snapshots in all', digits: 0, tenfoldUnder: 11 },
    { key: 'idle', label: 'keys a minute, idle', digits: 0, tenfoldUnder: 11 },
    { key: 'busy', label: 'keys a minute, under load', digits: 0, tenfoldUnder: 11 },
    { key: 'each', label: 'the same of each replica', digits: 0, tenfoldUnder: 1.1 },
    { key: 'verified_per_second', label: 'verifications/s', digits: 0 },
  ],
  async prepare(sizes, bench) {
    const settings = { GATEPASS_JWKS_MAX_AGE_S: String(jwksMaxAge_s) }
    const issuer = await sessionIssuer(bench, 'issuer', settings, { live: sessionCount })
    return sizes.map((size) => ({ size, measure: () => measure(issuer, size, bench) }))
  },
}

async function measure(issuer: SessionIssuer, count: number, bench: Bench): Promise<Figures> {
  const server = await startServer(issuer.service.spec(), bench)
  const verifiers: Server[] = []
  try {
    const tokens = await issuer.accessTokens(server.url)
    const begin = await askedOf(server)
    const jwksUrl = `${server.url}/.well-known/jwks.json`
    const spec = verifierSpec({ ...identity, jwksUrl })
    for (let n = 0; n < count; n++) verifiers.push(await startServer(spec, bench))
    const started = await askedOf(server)
    const idle_s = bench.options.warmup_s + bench.options.duration_s
    await sleep(1000 * idle_s)
    const idled = await askedOf(server)
    const traffic = linesTraffic('tokens', 'Authorization: Bearer ', tokens, bench)
    const verified_per_second = await load(verifiers, traffic, bench)
    const loaded = await askedOf(server)
    const streaming = await Promise.all(verifiers.map(isStreaming))
    const busy = keysPerMinute(idled, loaded)
    return {
      streams: streaming.filter(Boolean).length,
      snapshots: loaded.snapshots - begin.snapshots,
      idle: keysPerMinute(started, idled),
      busy,
      each: busy / count,
      verified_per_second,
    }
  } finally {
    await Promise.all(verifiers.map((verifier) => verifier.stop()))
    await server.stop()
  }
}

function keysPerMinute(from: Asked, to: Asked): number {
  return (60_000 * (to.keys - from.keys)) / (to.atMs - from.atMs)
}

/** As many requests as the verifiers answer. */
async function load(verifiers: readonly Server[], traffic: Traffic, bench: Bench): Promise<number> {
  const { duration_s, warmup_s } = bench.options
  const common = { duration_s, warmup_s, traffic, connections: connections / verifiers.length }
  const all = verifiers.map(({ url, pid }, n) =>
    runLoad(`replica ${n}`, { ...common, url, serverPid: pid }, bench),
  )
  const rates = (await Promise.all(all)).map(({ per_second = 0 }) => per_second)
  return rates.reduce((sum, rate) => sum + rate, 0)
}
