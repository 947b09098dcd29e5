import type { FastifyInstance } from 'fastify'
import { Counter, collectDefaultMetrics, Histogram, Registry } from 'prom-client'

/** Seconds; from a cached JWKS to a login that waits in the queue. */
const buckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]

/** Gauges of prom-client named like counters, which Prometheus warns of. Each is the sum of another. */
const misnamed = ['handles', 'requests', 'resources'].map((what) => `nodejs_active_${what}_total`)

/** What one process measures. Every label has a value list that a stranger can't make longer. */
export class Metrics {
  readonly registry = new Registry()
  readonly #requests: Histogram<'method' | 'route' | 'status'>
  readonly #events: Counter<'event'>

  constructor() {
    collectDefaultMetrics({ register: this.registry })
    for (const name of misnamed) this.registry.removeSingleMetric(name)
    this.#requests = new Histogram({
      name: 'gatepass_http_request_duration_seconds',
      help: 'Time from the request line to the end of the answer, by route pattern.',
      labelNames: ['method', 'route', 'status'],
      buckets,
      registers: [this.registry],
    })
    this.#events = new Counter({
      name: 'gatepass_events_total',
      help: 'Security events, named as in the audit log.',
      labelNames: ['event'],
      registers: [this.registry],
    })
  }

  /** Measures every request of an app. */
  observe(app: FastifyInstance): void {
    app.addHook('onResponse', (request, reply, done) => {
      const route = request.routeOptions.url ?? 'none'
      const labels = { method: request.method, route, status: reply.statusCode }
      this.#requests.observe(labels, reply.elapsedTime / 1000)
      const duration_ms = reply.elapsedTime
      request.log.debug({ request_id: request.id, ...labels, duration_ms }, 'answered')
      done()
    })
  }

  countEvent(event: string): void {
    this.#events.inc({ event })
  }
}
