import { pino } from 'pino'
import { AggregatorRegistry, Histogram, Registry } from 'prom-client'
import t, { type Test } from 'tap'
import { createApp } from '../../src/http/app.ts'
import { Metrics, observeVerifier, RequestHistogram } from '../../src/http/metrics.ts'
import type { VerifierStatus } from '../../src/verifier/status.ts'
import { createVerifier } from '../../src/verifier/verifier.ts'
import { FakeClock } from '../support/clock.ts'
import fc from '../support/properties.ts'
import { audience, claimsWith, issuer, makeKey, mint, now_s } from '../support/tokens.ts'
import { openVerifierApp } from '../support/verifier-app.ts'

function startMeasured(t: Test) {
  const metrics = new Metrics()
  const app = createApp({ logger: pino({ level: 'silent' }) })
  metrics.observe(app)
  app.get('/sessions/:id', async () => ({}))
  app.get('/unanswered', async (_request, reply) => {
    metrics.addUnanswered(reply)
    return {}
  })
  t.teardown(() => app.close())
  const request = async (url: string, times: number) => {
    for (let n = 0; n < times; n++) await app.inject({ url })
  }
  return { metrics, request }
}

const counts = async (registry: Pick<Registry, 'metrics'>) =>
  [
    ...(await registry.metrics()).matchAll(
      /^gatepass_http_request_duration_seconds_count\{.*route="(.*)",status="(.*)"\} (\d+)$/gm,
    ),
  ].map(([, ...values]) => values.join(' '))

t.test('a scrape counts every request, however many there were before it', async (t) => {
  const { metrics, request } = startMeasured(t)
  await request('/sessions/1', 3)
  t.same(await counts(metrics.registry), ['/sessions/:id 200 3'])
  t.same(await counts(metrics.registry), ['/sessions/:id 200 3'], 'once')
  await request('/sessions/2', 600)
  await request('/elsewhere', 2)
  t.same(await counts(metrics.registry), ['/sessions/:id 200 603', 'none 404 2'])
  await request('/unanswered', 1)
  t.ok((await counts(metrics.registry)).includes('/unanswered 499 1'), 'without a response')
})

t.test('the sum of the reports of worker processes counts them too', async (t) => {
  const workers = [startMeasured(t), startMeasured(t)]
  for (const { request } of workers) await request('/sessions/1', 300)
  const reports = workers.map(({ metrics }) => metrics.registry.getMetricsAsJSON())
  const sum = AggregatorRegistry.aggregate(await Promise.all(reports))
  t.same(await counts(sum), ['/sessions/:id 200 600'])
})

t.test('the histogram of requests has the lines of one of prom-client', async (t) => {
  const linesOf = async (registry: Registry) => (await registry.metrics()).split('\n').sort()
  const labels = fc.record({
    method: fc.constantFrom('GET', 'POST'),
    route: fc.constantFrom('none', '/data/:field'),
    status: fc.constantFrom(200, 499),
  })
  const seconds = fc.oneof(
    fc.constantFrom(0, 0.0005, 0.001, 5),
    fc.double({ min: 0, max: 20, noNaN: true }),
  )
  const requests = fc.array(fc.tuple(labels, seconds), { maxLength: 20 })
  await fc.assert(
    fc.asyncProperty(requests, async (requests) => {
      const { help, name } = await new RequestHistogram().get()
      const buckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]
      const labelNames = ['method', 'route', 'status'] as const
      const library = new Registry()
      const expected = new Histogram({ name, help, buckets, labelNames, registers: [library] })
      const ours = new Registry()
      const histogram = new RequestHistogram()
      ours.registerMetric(histogram as object as Histogram)
      for (const [labels, seconds] of requests) {
        expected.observe(labels, seconds)
        histogram.observe(labels, seconds)
      }
      t.same(await linesOf(ours), await linesOf(library))
    }),
  )
})

const key = makeKey('ES256')
const stranger = makeKey('ES256', 'stranger')

/** A verifier service with one key. */
function startVerifier(t: Test) {
  const verifier = createVerifier({
    issuer,
    audience,
    jwks: { keys: [key.publicJwk] },
    clock: new FakeClock(now_s * 1000),
  })
  const metrics = new Metrics()
  observeVerifier(metrics.registry, () => verifier.status())
  const app = openVerifierApp(t, verifier, { service: { metrics } })
  const call = (token: string, url = '/verify', method: 'GET' | 'PUT' = 'GET') =>
    app.inject({ url, method, headers: { authorization: `Bearer ${token}` } })
  return { call, metrics }
}

/** Returns the value of each series of Gatepass. */
async function seriesOf({ registry }: Metrics): Promise<Map<string, number>> {
  const lines = (await registry.metrics())
    .split('\n')
    .filter((line) => line.startsWith('gatepass_'))
  return new Map(
    lines.map((line) => {
      const end = line.lastIndexOf(' ')
      return [line.slice(0, end), Number(line.slice(end + 1))]
    }),
  )
}

t.test('outcomes and the cache are counted, and scrapes do not change them', async (t) => {
  const { call, metrics } = startVerifier(t)
  const token = mint(key)
  for (let use = 0; use < 3; use += 1) t.equal((await call(token)).statusCode, 200)
  await call('x')
  await seriesOf(metrics)
  const series = await seriesOf(metrics)
  t.equal(series.get('gatepass_verifications_total{outcome="accepted"}'), 3)
  t.equal(series.get('gatepass_verifications_total{outcome="token_malformed"}'), 1)
  t.equal(series.get('gatepass_verifications_total{outcome="token_revoked"}'), 0)
  t.equal(series.get('gatepass_token_cache_hits_total'), 2)
  t.equal(series.get('gatepass_token_cache_misses_total'), 2)
  t.equal(series.get('gatepass_token_cache_evictions_total'), 0)
  t.equal(series.get('gatepass_token_cache_tokens'), 1)
  t.ok((series.get('gatepass_token_cache_bytes') ?? 0) > 500)
  t.equal(series.get('gatepass_keys'), 1)
  t.equal(series.get('gatepass_keys_source{source="fixed"}'), 1)
  t.equal(series.get('gatepass_keys_refresh_failed'), 0)
  t.equal(series.get('gatepass_keys_file_failed'), 0)
  t.notOk(series.has('gatepass_keys_age_seconds'), 'fixed keys have no age')
})

t.test('unknown kids, issuers, claims and paths add no series', async (t) => {
  const { call, metrics } = startVerifier(t)
  const flood = async (from: number, to: number) => {
    for (let n = from; n < to; n += 1) {
      await call(mint({ ...stranger, kid: `kid-${n}` }))
      await call(mint(key, { payload: claimsWith({ iss: `https://${n}.test` }) }))
      await call(mint(key, { payload: claimsWith({ client_id: `${n}`, scope: `s${n}` }) }))
      await call(`${n}.${n}.${n}`)
      await call('', `/no/${n}`)
      await call(mint(key), `/verify?scope=s${n}`)
      await call(mint(key), `/verify/${n}`, 'PUT')
    }
  }
  await flood(0, 2)
  const before = await seriesOf(metrics)
  await flood(2, 100)
  const after = await seriesOf(metrics)
  t.same([...after.keys()], [...before.keys()])
  const count = (name: string) => after.get(`gatepass_verifications_total{outcome="${name}"}`)
  t.equal(count('token_key_unknown'), 100)
  t.equal(count('token_claims'), 100)
  t.equal(count('scope_insufficient'), 100)
})

t.test('metrics show old keys, a failed refresh, a full disk and missing keys', async (t) => {
  const metrics = new Metrics()
  const status = createVerifier({ issuer, audience, jwks: { keys: [key.publicJwk] } }).status()
  let keys: VerifierStatus['keys'] = status.keys
  observeVerifier(metrics.registry, () => ({ ...status, keys, cache: null }))
  keys = { ...keys, source: 'network', ageSeconds: 4000, lastError: 'the answer has status 502' }
  keys = { ...keys, fileError: 'it cannot be written: ENOSPC' }
  const aged = await seriesOf(metrics)
  t.equal(aged.get('gatepass_keys_age_seconds'), 4000)
  t.equal(aged.get('gatepass_keys_refresh_failed'), 1)
  t.equal(aged.get('gatepass_keys_file_failed'), 1)
  t.equal(aged.get('gatepass_keys_source{source="network"}'), 1)
  t.equal(aged.get('gatepass_token_cache_tokens'), 0)
  t.notMatch([...aged.keys()].join('\n'), '502')

  keys = { ...keys, count: 0, source: null, ageSeconds: null }
  const gone = await seriesOf(metrics)
  t.equal(gone.get('gatepass_keys'), 0)
  t.equal(gone.get('gatepass_keys_source{source="none"}'), 1)
  t.equal(gone.get('gatepass_keys_source{source="network"}'), 0)
  t.notOk(gone.has('gatepass_keys_age_seconds'))
})
