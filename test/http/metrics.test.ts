import { pino } from 'pino'
import { AggregatorRegistry, type Registry } from 'prom-client'
import t, { type Test } from 'tap'
import { createApp } from '../../src/http/app.ts'
import { Metrics } from '../../src/http/metrics.ts'

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
