import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { setImmediate } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { nowSeconds } from '../../core/clock.ts'
import { GatepassError } from '../../core/errors.ts'
import { LruCache } from '../../core/lru-cache.ts'
import { NetworkLimits } from '../../core/networks.ts'
import type { Issuer } from '../../issuer/issuer.ts'
import {
  type RevocationEvent,
  signRevocationEvent,
  signRevocationSnapshot,
} from '../../tokens/revocation-tokens.ts'
import type { SigningKey } from '../../tokens/signing.ts'
import { clientAddressOf } from '../app.ts'
import { entityTag, matchesETag } from '../conditional-requests.ts'
import type { IssuerContext } from '../issuer-app.ts'
import { notModified, problem, revocationStream, snapshot } from '../schemas.ts'

/** Interval of the comment lines by which both ends notice a dead connection. */
const heartbeatMs = 5_000
/** The streams take turns in an interval: heartbeats to all at once would hold up other requests. */
const heartbeatSlots = 50
/** Delay after which a follower reconnects. */
const retryMs = 250
/**
 * Maximum of streams of one replica, 23 KiB each: room for 10,000 verifiers and the replacements of
 * some. Many verifiers may share an address.
 */
const maxStreams = { all: 12_000, narrow: 500, wide: 2_000 }
/** Streams that are written to in one turn of the event loop. Requests are served in between. */
const streamsPerTurn = 250
/** Events that are signed in one turn of the event loop. */
const eventsPerTurn = 25
/** A follower that missed more events gets the newest, sees the gap, and loads the snapshot. */
const maxMissed = 250
/**
 * Longest time to read a snapshot, and the longest timeout of a verifier. There may be a new snapshot each second,
 * and its slowest reader keeps it in memory.
 */
const maxReadMs = 60_000
/** A follower with more unread bytes is disconnected. It resumes at its last event. */
const maxUnreadBytes = 1024 * 1024

/** Registers `/revocations` and `/revocations/stream`, which verifiers follow (invariant 6). */
export function revocationRoutes(app: FastifyInstance, { issuer }: IssuerContext): void {
  const { revocations } = issuer
  const currentSnapshot = createSnapshots(issuer)
  const streams = new RevocationStreams(issuer)
  const limits = new NetworkLimits(maxStreams)

  app.get(
    '/revocations',
    {
      schema: {
        summary: 'The revocations of one access-token lifetime, as a signed snapshot',
        tags: ['revocation'],
        produces: ['application/jwt'],
        response: { 200: snapshot, 304: notModified, default: problem },
      },
    },
    async (request, reply) => {
      const { etag, body } = currentSnapshot()
      reply.header('etag', etag).header('cache-control', 'public, max-age=1')
      if (revocations.isCurrent && matchesETag(request.headers['if-none-match'], etag)) {
        return reply.code(304).send()
      }
      const timer = setTimeout(() => reply.raw.destroy(), maxReadMs).unref()
      reply.raw.once('close', () => clearTimeout(timer))
      return reply.type('application/jwt').send(await body())
    },
  )

  app.get(
    '/revocations/stream',
    {
      exposeHeadRoute: false,
      schema: {
        summary: 'Revocations as server-sent events, each a security event token (CAEP)',
        description:
          'Resumes after `Last-Event-ID`, and otherwise starts with the current revocations: with the ' +
          'newest 250, if there are more. The `previous` of the first event then shows the gap.',
        tags: ['revocation'],
        produces: ['text/event-stream'],
        response: { 200: revocationStream, default: problem },
      },
    },
    async (request, reply) => {
      const release = limits.admit(clientAddressOf(request))
      if (release === null) throw new GatepassError('overloaded', { retryAfterSeconds: 5 })
      const lastEventId = request.headers['last-event-id']
      reply.hijack()
      const stream = reply.raw
      if (stream.destroyed) return release()
      stream.once('close', release)
      // The body ends with the connection. Chunks would triple the work of a write.
      stream.removeHeader('transfer-encoding')
      stream.writeHead(200, {
        ...(reply.getHeaders() as OutgoingHttpHeaders),
        'content-type': 'text/event-stream',
        'cache-control': 'no-store',
        connection: 'close',
        'x-accel-buffering': 'no',
      })
      stream.write(`retry: ${retryMs}\n\n`)
      streams.add(stream, typeof lastEventId === 'string' ? lastEventId : undefined)
    },
  )

  // A stream does not end by itself, so the service would never finish to close.
  app.addHook('preClose', async () => streams.close())
}

interface Snapshot {
  readonly etag: string
  /** Returns bytes, which all responses share: a text would be copied for each slow reader. */
  body(): Promise<Buffer>
}

/** Returns a function that returns the current snapshot. Signs at most one per second. */
function createSnapshots({ policy, revocations, clock, signingKey }: Issuer): () => Snapshot {
  let last: { etag: string; atSeconds: number; body: Promise<Buffer> } | null = null

  function sign(etag: string, key: SigningKey): Promise<Buffer> {
    const atSeconds = nowSeconds(clock)
    if (last?.etag === etag && last.atSeconds === atSeconds) return last.body
    const state = {
      position: revocations.position,
      entries: revocations.entriesAfter(),
      kept_s: Math.ceil(revocations.keptMs / 1000),
      readAt_s: Math.floor((revocations.readAtMs ?? 0) / 1000),
    }
    const signed = signRevocationSnapshot(state, policy.issuer, atSeconds, key)
    const body = signed.then((text) => Buffer.from(text, 'latin1'))
    last = { etag, atSeconds, body }
    return body
  }

  return () => {
    const key = signingKey()
    // Weak, because the text has the time. It names the key: a cache that asks about its copy must
    // not keep one whose key has left the JWKS.
    const etag = `W/${entityTag(`${revocations.position}.${key.kid}`)}`
    return { etag, body: () => sign(etag, key) }
  }
}

/** The open event streams of the verifiers that follow this replica. */
class RevocationStreams {
  readonly #issuer: Issuer
  /** The streams by their turn in the interval of heartbeats. */
  readonly #slots = Array.from({ length: heartbeatSlots }, () => new Set<ServerResponse>())
  #opened = 0
  #turn = 0
  /** The texts of the newest events, by the key that signed each: a revoked key must not be used. */
  readonly #texts = new LruCache<Promise<string>>(2 * maxMissed)
  readonly #heartbeat: NodeJS.Timeout
  /** The last of the jobs that write events. They run one after the other, which keeps the order. */
  #lastJob = Promise.resolve()
  #isClosed = false

  constructor(issuer: Issuer) {
    this.#issuer = issuer
    const beatNext = async () => this.#beat(this.#slot(this.#turn++))
    const next = () => this.#run(beatNext, () => [])
    this.#heartbeat = setInterval(next, heartbeatMs / heartbeatSlots).unref()
    const all = () => this.#slots.flatMap((slot) => [...slot])
    issuer.revocations.subscribe((entries) => this.#run(() => this.#send(entries), all))
  }

  /** Sends the newest entries after an event, then each new entry. */
  add(stream: ServerResponse, lastEventId: string | undefined): void {
    const missed = this.#issuer.revocations.entriesAfter(lastEventId, maxMissed)
    const slot = this.#slot(this.#opened++)
    stream.on('error', () => {})
    stream.on('close', () => slot.delete(stream))
    const start = async () => {
      if (missed.length > 0) write(stream, await this.#joined(missed))
      if (this.#isClosed) stream.end()
      else if (!stream.destroyed) slot.add(stream)
      // The follower relies on the stream from its first heartbeat.
      this.#beat([stream])
    }
    this.#run(start, () => [stream])
  }

  close(): void {
    this.#isClosed = true
    clearInterval(this.#heartbeat)
    for (const slot of this.#slots) for (const stream of slot) stream.end()
  }

  /** Runs a job after the jobs before it. If it fails, its followers reconnect and ask for the events again. */
  #run(job: () => Promise<void>, followers: () => readonly ServerResponse[]): void {
    this.#lastJob = this.#lastJob.then(job).catch(() => {
      for (const stream of followers()) stream.destroy()
    })
  }

  async #send(entries: readonly RevocationEvent[]): Promise<void> {
    if (this.#slots.every(({ size }) => size === 0)) return
    const text = await this.#joined(entries)
    let written = 0
    for (const slot of this.#slots) {
      for (const stream of slot) {
        write(stream, text)
        written += 1
        if (written % streamsPerTurn === 0) await setImmediate()
      }
    }
  }

  #slot(n: number): Set<ServerResponse> {
    return this.#slots[n % heartbeatSlots] as Set<ServerResponse>
  }

  /** A heartbeat states that there is no other event, so it stops while the copy of the log is outdated. */
  #beat(streams: Iterable<ServerResponse>): void {
    if (!this.#issuer.revocations.isCurrent) return
    for (const stream of streams) write(stream, ':\n\n')
  }

  async #joined(entries: readonly RevocationEvent[]): Promise<string> {
    let joined = ''
    for (let start = 0; start < entries.length; start += eventsPerTurn) {
      if (start > 0) await setImmediate()
      const some = entries.slice(start, start + eventsPerTurn)
      const texts = await Promise.all(some.map((entry) => this.#textOf(entry)))
      joined += texts.join('')
    }
    return joined
  }

  #textOf(entry: RevocationEvent): Promise<string> {
    const { policy, clock, signingKey } = this.#issuer
    const key = signingKey()
    const { position, previous } = entry
    return this.#texts.getOrAdd(`${key.kid} ${previous} ${position}`, async () => {
      const token = await signRevocationEvent(entry, policy.issuer, nowSeconds(clock), key)
      return `id: ${position}\nevent: revocation\ndata: ${token}\n\n`
    })
  }
}

/** Writes to a stream, or disconnects a follower that does not read. */
function write(stream: ServerResponse, text: string): void {
  if (stream.writableEnded || stream.destroyed) return
  if (stream.writableLength > maxUnreadBytes) stream.destroy()
  else stream.write(text, 'latin1')
}
