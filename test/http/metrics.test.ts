import { pino } from 'pino'
import { AggregatorRegistry, Histogram, Registry } from 'prom-client'
import t, { type Test } from 'tap'
import { createApp } from '../../src/http/app.ts'
import { Metrics, RequestHistogram } from '../../src/http/metrics.ts'
import fc from '../support/properties.ts'

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

t.test('the histogram of requests has the text of one of prom-client', async (t) => {
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
      t.equal(await ours.metrics(), await library.metrics())
    }),
  )
})
