import type { ServerResponse } from 'node:http'
import type { FastifyInstance } from 'fastify'
import { nowSeconds } from '../../core/clock.ts'
import { GatepassError } from '../../core/errors.ts'
import type { FeedEntry } from '../../issuer/revocation-feed.ts'
import { signRevocationEvent, signRevocationSnapshot } from '../../tokens/revocation-tokens.ts'
import { matches } from '../conditional-requests.ts'
import { ConnectionLimits } from '../connection-limits.ts'
import type { IssuerContext } from '../issuer-app.ts'
import { notModified, problem, revocationStream, snapshot } from '../schemas.ts'

/** A comment line this often, so that a dead connection is noticed at both ends. */
const heartbeatMs = 5_000
/** What a follower is asked to wait before it comes again. */
const retryMs = 250
/**
 * Followers of one replica: in all, of one address (or IPv6 /56), and of the network around it. Each
 * is a verifier, so this is far above what there is, though many share an address.
 */
const followersMax = { all: 10_000, narrow: 500, wide: 2_000 }
/** A follower that has so much unread is cut off; it resumes where it was. */
const unreadBytesMax = 1024 * 1024

/** `/revocations` and `/revocations/stream`: what verifiers follow (invariant 6). */
export function revocationRoutes(app: FastifyInstance, { issuer }: IssuerContext): void {
  const { revocations, clock, signingKey } = issuer
  const issuerUrl = issuer.policy.issuer
  const followers = new Set<ServerResponse>()
  const places = new ConnectionLimits(followersMax)

  let last = { etag: '', at_s: 0, kid: '', body: Promise.resolve('') }
  /** Signed once a second at most, however many ask. */
  function currentSnapshot(): typeof last {
    const etag = `"${revocations.position}"`
    const at_s = nowSeconds(clock)
    const key = signingKey()
    if (last.etag !== etag || last.at_s !== at_s || last.kid !== key.kid) {
      const state = {
        position: revocations.position,
        entries: revocations.entriesAfter(),
        kept_s: Math.ceil(revocations.keptMs / 1000),
        readAt_s: Math.floor((revocations.readAtMs ?? 0) / 1000),
      }
      const body = signRevocationSnapshot(state, issuerUrl, at_s, key)
      last = { etag, at_s, kid: key.kid, body }
    }
    return last
  }

  /** Each event is signed once by each key, however many follow: the one before may be revoked. */
  const signed = new WeakMap<FeedEntry, { readonly kid: string; readonly text: Promise<string> }>()
  function eventText(entry: FeedEntry): Promise<string> {
    const key = signingKey()
    const known = signed.get(entry)
    if (known?.kid === key.kid) return known.text
    const text = signRevocationEvent(entry, issuerUrl, nowSeconds(clock), key).then(
      (token) => `id: ${entry.position}\nevent: revocation\ndata: ${token}\n\n`,
    )
    signed.set(entry, { kid: key.kid, text })
    return text
  }

  app.get(
    '/revocations',
    {
      schema: {
        summary: 'What was revoked within one access-token lifetime, as one signed snapshot',
        tags: ['revocation'],
        response: { 200: snapshot, 304: notModified },
      },
    },
    async (request, reply) => {
      const { etag, body } = currentSnapshot()
      reply.header('etag', etag).header('cache-control', 'public, max-age=1')
      // Nothing new is not said by one who can't read the log: the snapshot says how old it is.
      const isCurrent = revocations.lastError === null
      if (isCurrent && matches(request.headers['if-none-match'], etag)) {
        return reply.code(304).send()
      }
      return reply
        .type('application/jwt')
        .serializer(String)
        .send(await body)
    },
  )

  app.get(
    '/revocations/stream',
    {
      exposeHeadRoute: false,
      schema: {
        summary: 'The same as it happens: server-sent events, each a security event token (CAEP)',
        description:
          'Goes on behind `Last-Event-ID`; without it begins with all that still matters.',
        tags: ['revocation'],
        response: { 200: revocationStream, default: problem },
      },
    },
    async (request, reply) => {
      const leave = places.take(request.ip)
      if (leave === null) throw new GatepassError('overloaded', { retryAfterSeconds: 5 })
      const lastEventId = request.headers['last-event-id']
      reply.hijack()
      const stream = reply.raw
      if (stream.destroyed) return leave()
      stream.once('close', leave)
      stream.writeHead(200, {
        'content-type': 'text/event-stream',
        'cache-control': 'no-store',
        'x-accel-buffering': 'no',
      })
      stream.write(`retry: ${retryMs}\n\n`)
      follow(stream, typeof lastEventId === 'string' ? lastEventId : undefined)
    },
  )

  function follow(stream: ServerResponse, lastEventId: string | undefined): void {
    // One after the other, so that events keep their order though each is signed on its own.
    let written = Promise.resolve()
    const send = (entries: readonly FeedEntry[]) => {
      for (const entry of entries) {
        written = written
          .then(async () => write(stream, await eventText(entry)))
          // What can't be told now is told when the follower comes again.
          .catch(() => void stream.destroy())
      }
    }
    const unsubscribe = revocations.subscribe(send)
    followers.add(stream)
    stream.on('error', () => {})
    stream.on('close', () => {
      unsubscribe()
      followers.delete(stream)
    })
    send(revocations.entriesAfter(lastEventId))
  }

  // It says that there is nothing else to tell, so there is none while the log can't be read.
  const heartbeat = setInterval(() => {
    if (revocations.lastError !== null) return
    for (const stream of followers) write(stream, ':\n\n')
  }, heartbeatMs).unref()

  // Streams have no end of their own: without this the service would wait for them for ever.
  app.addHook('preClose', async () => {
    clearInterval(heartbeat)
    for (const stream of followers) stream.end()
  })
}

/** Writes to a follower that is there and reads. */
function write(stream: ServerResponse, text: string): void {
  if (stream.writableEnded || stream.destroyed) return
  if (stream.writableLength > unreadBytesMax) stream.destroy()
  else stream.write(text)
}
