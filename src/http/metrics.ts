import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { DataObserver } from '../data/data-service.ts'
import type { KeySourceStatus } from '../verifier/keys/key-source.ts'
import {
  type RevocationsStatus,
  revocationStates,
} from '../verifier/revocations/revocation-list.ts'
import type { VerifierStatus } from '../verifier/status.ts'
import type { TokenCacheStatus } from '../verifier/token-cache.ts'

/** In seconds: from a cached JWKS to a login that waits in the queue. */
const requestBuckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]

/** Gauges of prom-client that are named like counters. Each is the sum of another metric. */
const misnamed = ['handles', 'requests', 'resources'].map((what) => `nodejs_active_${what}_total`)

/** The status, as in the log of nginx, of a request whose connection closed before the response. */
const unansweredStatus = 499

interface RequestLabels {
  readonly method: string
  readonly route: string
  readonly status: number
}

/** The requests with the same labels. */
interface RequestSeries {
  readonly labels: RequestLabels
  /** Number of requests in each bucket. The last bucket has no bound. */
  readonly counts: number[]
  totalSeconds: number
}

/**
 * The histogram of requests. The one of prom-client checks the labels of each request and builds a text of
 * them, which takes a twentieth of the time of a request at `/verify`.
 */
export class RequestHistogram {
  readonly name = 'gatepass_http_request_duration_seconds'
  /** By route. */
  readonly #series = new Map<string, readonly RequestSeries[]>()

  observe(labels: RequestLabels, seconds: number): void {
    const series = this.#seriesOf(labels)
    let bucket = 0
    while (seconds > (requestBuckets[bucket] ?? Infinity)) bucket += 1
    series.counts[bucket] = (series.counts[bucket] ?? 0) + 1
    series.totalSeconds += seconds
  }

  #seriesOf(labels: RequestLabels): RequestSeries {
    const { method, route, status } = labels
    const ofRoute = this.#series.get(route) ?? []
    const known = ofRoute.find(
      (one) => one.labels.status === status && one.labels.method === method,
    )
    if (known !== undefined) return known
    const series = { labels, counts: [...requestBuckets, Infinity].map(() => 0), totalSeconds: 0 }
    this.#series.set(route, [...ofRoute, series])
    return series
  }

  /** Returns what a registry of prom-client reads at a scrape. */
  async get() {
    return {
      name: this.name,
      help: 'Time from the request line to the end of the response, by route pattern.',
      type: 'histogram',
      aggregator: 'sum',
      values: [...this.#series.values()].flat().flatMap((series) => this.#valuesOf(series)),
    }
  }

  #valuesOf({ labels, counts, totalSeconds }: RequestSeries) {
    let count = 0
    const buckets = [...requestBuckets, '+Inf'].map((le, bucket) => {
      count += counts[bucket] ?? 0
      return { metricName: `${this.name}_bucket`, labels: { le, ...labels }, value: count }
    })
    return [
      ...buckets,
      { metricName: `${this.name}_sum`, labels, value: totalSeconds },
      { metricName: `${this.name}_count`, labels, value: count },
    ]
  }
}

/** Returns the pattern of a route, for metrics and the log: an address may contain a token. */
export function routeOf({ routeOptions }: FastifyRequest): string {
  return routeOptions.url ?? 'none'
}

/** The metrics of one process. Labels hold methods, routes and statuses, never a text of a client. */
export class Metrics {
  readonly registry = new Registry()
  readonly #requests = new RequestHistogram()
  /** How often each security event has occurred. */
  readonly #events: Map<string, number>

  /** @param events names of the security events: a counter is 0 before its first event */
  constructor(events: readonly string[] = []) {
    collectDefaultMetrics({ register: this.registry })
    for (const name of misnamed) this.registry.removeSingleMetric(name)
    // A registry uses the name and `get`. Its type allows only the classes of prom-client.
    this.registry.registerMetric(this.#requests as object as Histogram)
    const counts = new Map(events.map((event) => [event, 0]))
    this.#events = counts
    new Counter({
      name: 'gatepass_events_total',
      help: 'Security events, named as in the audit log.',
      labelNames: ['event'],
      registers: [this.registry],
      collect() {
        this.reset()
        for (const [event, count] of counts) this.inc({ event }, count)
      },
    })
  }

  /** Measures the answered requests of an app. */
  observe(app: FastifyInstance): void {
    app.addHook('onResponse', (_request, reply, done) => {
      this.#add(reply, reply.statusCode, 'answered')
      done()
    })
  }

  /** Measures a request whose connection closed before the response. */
  addUnanswered(reply: FastifyReply): void {
    this.#add(reply, unansweredStatus, 'not answered, because the connection closed')
  }

  #add({ request, elapsedTime: duration_ms }: FastifyReply, status: number, message: string) {
    const { method, id: request_id } = request
    const route = routeOf(request)
    this.#requests.observe({ method, route, status }, duration_ms / 1000)
    request.log.debug({ request_id, method, route, status, duration_ms }, message)
  }

  countEvent(event: string): void {
    this.#events.set(event, (this.#events.get(event) ?? 0) + 1)
  }
}

/** Processes on one machine share a clock, so the offset of one counts. */
export function observeClock(registry: Registry, offsetMs: () => number | null): void {
  addGauge(registry, {
    name: 'gatepass_clock_offset_seconds',
    help: 'Seconds by which the clock is ahead of the clock of the session store.',
    aggregator: 'first',
    read() {
      const offset = offsetMs()
      return offset === null ? null : offset / 1000
    },
  })
}

export function observeLog(registry: Registry, dropped: () => number): void {
  addCounter(registry, {
    name: 'gatepass_log_lines_dropped_total',
    help: 'Log lines that were dropped because standard output was full, too slow or closed.',
    read: dropped,
  })
}

/** In seconds: from a local SQLite call to the deadline. */
const dataBuckets = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 0.5, 1]

/** Creates an observer that measures session data. No label names an owner or a field. */
export function createDataObserver(registry: Registry): DataObserver {
  const registers = [registry]
  const operations = new Histogram({
    name: 'gatepass_data_operation_duration_seconds',
    help: 'Time of a call to the session data store, by outcome.',
    labelNames: ['operation', 'outcome'],
    buckets: dataBuckets,
    registers,
  })
  const hits = new Counter({
    name: 'gatepass_data_hits_total',
    help: 'Fields of session data that were found.',
    registers,
  })
  const misses = new Counter({
    name: 'gatepass_data_misses_total',
    help: 'Requested fields that were missing: never written, expired, or evicted by the store.',
    registers,
  })
  const unreadable = new Counter({
    name: 'gatepass_data_unreadable_total',
    help: 'Values that did not decrypt: they were changed, or their secret is unknown.',
    registers,
  })
  return {
    operation: (operation, outcome, durationSeconds) =>
      operations.observe({ operation, outcome }, durationSeconds),
    fieldsRead(found, missing) {
      hits.inc(found)
      misses.inc(missing)
    },
    unreadable: () => unreadable.inc(),
  }
}

const keySources = ['network', 'file', 'fixed', 'own', 'none'] as const

/**
 * Registers the metrics of a verifier: outcomes, token cache and keys. The verifier counts, so a
 * request costs nothing here.
 */
export function observeVerifier(registry: Registry, status: () => VerifierStatus): void {
  new Counter({
    name: 'gatepass_verifications_total',
    help: 'Verified tokens, by outcome.',
    labelNames: ['outcome'],
    registers: [registry],
    collect() {
      this.reset()
      for (const [outcome, count] of Object.entries(status().outcomes)) this.inc({ outcome }, count)
    },
  })
  observeCache(registry, () => status().cache)
  observeKeys(registry, () => status().keys)
}

/** Without a cache every value is 0. */
function observeCache(registry: Registry, status: () => TokenCacheStatus | null): void {
  for (const [member, help] of [
    ['hits', 'Tokens that were found in the cache.'],
    ['misses', 'Tokens that were not in the cache, valid or not.'],
    ['evictions', 'Tokens that were evicted for other tokens.'],
  ] as const) {
    const name = `gatepass_token_cache_${member}_total`
    addCounter(registry, { name, help, read: () => status()?.[member] ?? 0 })
  }
  for (const [member, help] of [
    ['tokens', 'Cached tokens.'],
    ['bytes', 'Estimated memory of the cached tokens.'],
  ] as const) {
    const name = `gatepass_token_cache_${member}`
    addGauge(registry, { name, help, aggregator: 'sum', read: () => status()?.[member] ?? 0 })
  }
}

/** Of several processes the worst value counts. */
function observeKeys(registry: Registry, status: () => KeySourceStatus): void {
  addGauge(registry, {
    name: 'gatepass_keys',
    help: 'Usable keys.',
    aggregator: 'min',
    read: () => status().count,
  })
  addGauge(registry, {
    name: 'gatepass_keys_age_seconds',
    help: 'Seconds since the keys were fetched or confirmed.',
    aggregator: 'max',
    read: () => status().ageSeconds,
  })
  addGauge(registry, {
    name: 'gatepass_keys_refresh_failed',
    help: '1 if the last fetch of the keys failed.',
    aggregator: 'max',
    read: () => Number(status().lastError !== null),
  })
  addGauge(registry, {
    name: 'gatepass_keys_file_failed',
    help: '1 if the file of keys could not be read or written.',
    aggregator: 'max',
    read: () => Number(status().fileError !== null),
  })
  new Gauge({
    name: 'gatepass_keys_source',
    help: 'Number of processes by the source of their keys.',
    labelNames: ['source'],
    registers: [registry],
    collect() {
      const now = status().source ?? 'none'
      for (const source of keySources) this.set({ source }, source === now ? 1 : 0)
    },
  })
}

/** Registers the metrics of the revocation feed. Of several processes the worst value counts. */
export function observeRevocations(registry: Registry, status: () => RevocationsStatus): void {
  addGauge(registry, {
    name: 'gatepass_revocations_lag_seconds',
    help: 'Seconds since the revocation list was known to be complete.',
    aggregator: 'max',
    read: () => status().lagSeconds,
  })
  addGauge(registry, {
    name: 'gatepass_revocations_entries',
    help: 'Revoked sessions, users and keys in memory.',
    aggregator: 'max',
    read: () => status().entries,
  })
  addCounter(registry, {
    name: 'gatepass_revocations_coarsened_total',
    help: 'How often the memory limit replaced the oldest entries by one rule for all users.',
    read: () => status().coarsened,
  })
  new Gauge({
    name: 'gatepass_revocations_state',
    help: 'Number of processes by the state of their revocation feed.',
    labelNames: ['state'],
    registers: [registry],
    collect() {
      const now = status().state
      for (const state of revocationStates) this.set({ state }, state === now ? 1 : 0)
    },
  })
}

interface ReadCounter {
  readonly name: string
  readonly help: string
  read(): number
}

/** Adds a counter, which is read at each scrape. */
function addCounter(registry: Registry, { read, ...text }: ReadCounter): void {
  new Counter({
    ...text,
    registers: [registry],
    collect() {
      this.reset()
      this.inc(read())
    },
  })
}

interface ReadGauge {
  readonly name: string
  readonly help: string
  /** Which value counts if there are several processes. */
  readonly aggregator: 'first' | 'max' | 'min' | 'sum'
  /** Returns null to leave the gauge out. */
  read(): number | null
}

/** Adds a gauge, which is read at each scrape. */
function addGauge(registry: Registry, { read, ...text }: ReadGauge): void {
  new Gauge({
    ...text,
    registers: [registry],
    collect() {
      const value = read()
      if (value === null) this.remove()
      else this.set(value)
    },
  })
}
