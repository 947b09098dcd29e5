import type { FastifyInstance } from 'fastify'
import type { Clock } from '../core/clock.ts'
import { GatepassError } from '../core/errors.ts'
import type { AuditEvent, AuditFields } from '../issuer/audit.ts'
import type { KeyManager } from '../keys/key-manager.ts'
import { gatepassAuth } from '../verifier/fastify.ts'
import type { Verifier } from '../verifier/verifier.ts'
import {
  demoUser,
  type KeyState,
  maxReplicas,
  type PlaygroundEvent,
  type PlaygroundState,
  type RefreshTokenState,
  type Replicas,
  replicaKinds,
} from './api.ts'
import { Balancer } from './balancer.ts'
import { addPageHeaders, PlaygroundGuard } from './guard.ts'
import { indexPath, PageFiles } from './page-files.ts'

/** The refresh token of a session. */
export interface SessionInfo {
  readonly generation: number
  readonly mintedAtMs: number
  readonly lastRetryAtMs: number | null
}

export interface PlaygroundDeps {
  /** The URL of the issuer, which serves the page. */
  readonly issuerUrl: string
  readonly accessTtlSeconds: number
  readonly graceMs: number
  readonly clock: Clock
  readonly keys: Pick<KeyManager, 'list' | 'rotate'>
  readonly verifier: Verifier
  readonly replicas: Replicas
  readonly events: EventLog
  /** The origin of the third-party application; null if there is none. */
  readonly thirdParty: string | null
  /** null for a session that has ended. */
  findSession(sid: string): Promise<SessionInfo | null>
}

const hide = { hide: true }

/**
 * Serves the playground page and its controls. For `gatepass dev` only: the controls start and kill
 * processes for every user of this machine's browser.
 */
export async function playground(app: FastifyInstance, deps: PlaygroundDeps): Promise<void> {
  const guard = new PlaygroundGuard(deps.issuerUrl)
  const balancer = new Balancer(deps.replicas)
  app.addHook('onRequest', async (_request, reply) => addPageHeaders(reply))
  app.addHook('onClose', async () => balancer.close())
  pageRoutes(app, deps, guard)
  await app.register(async (scope) => {
    scope.addHook('onRequest', async (request) => guard.checkCaller(request))
    stateRoute(scope, deps)
    controlRoutes(scope, deps)
    await scope.register(async (inner) => sessionRoute(inner, deps))
    await scope.register(async (inner) => replicaRoutes(inner, balancer))
  })
}

function pageRoutes(app: FastifyInstance, deps: PlaygroundDeps, guard: PlaygroundGuard): void {
  const files = new PageFiles()
  app.get('/', { schema: hide }, async (request, reply) => {
    // Cookies and the page's origin depend on the host name, so requests with another local name
    // are redirected.
    if (guard.hasOtherName(request)) return reply.redirect(`${deps.issuerUrl}/`)
    guard.checkMachine(request)
    const { type, text } = await files.read(indexPath)
    return reply.type(type).serializer(String).send(text)
  })
  app.get<{ Params: { '*': string } }>(
    '/playground/files/*',
    { schema: hide },
    async (request, reply) => {
      guard.checkMachine(request)
      const { type, text } = await files.read(request.params['*'])
      return reply.type(type).serializer(String).send(text)
    },
  )
}

function stateRoute(app: FastifyInstance, deps: PlaygroundDeps): void {
  const { accessTtlSeconds, graceMs, replicas, events, thirdParty } = deps
  app.get<{ Querystring: { after?: string } }>(
    '/playground/state',
    { schema: hide },
    async (request): Promise<PlaygroundState> => {
      // The guard has rejected callers other than the page.
      replicas.pageOpened()
      const list = replicas.list()
      return {
        username: demoUser,
        access_ttl_s: accessTtlSeconds,
        grace_s: graceMs / 1000,
        replicas: list.map(({ name, kind, port }) => ({ name, kind, ready: port !== null })),
        max_replicas: maxReplicas,
        kinds: replicas.kinds(),
        keys: publishedKeys(deps),
        third_party: thirdParty,
        events: events.after(Number(request.query.after ?? 0)),
      }
    },
  )
}

function publishedKeys({ keys, clock }: PlaygroundDeps): KeyState[] {
  const nowMs = clock.nowMs()
  return keys.list().flatMap(({ kid, state, activateAtMs }) => {
    if (state === 'removed' || state === 'revoked') return []
    return [{ kid, state, signs_in_s: Math.max(0, Math.ceil((activateAtMs - nowMs) / 1000)) }]
  })
}

function controlRoutes(app: FastifyInstance, { replicas, keys }: PlaygroundDeps): void {
  app.post<{ Body: { kind?: unknown } | undefined }>(
    '/playground/replicas',
    { schema: hide },
    async (request, reply) => {
      const kinds = replicas.kinds()
      const kind = kinds.find((one) => one === request.body?.kind)
      if (kind === undefined) {
        const detail = `must be ${kinds.join(' or ') || 'nothing: `gatepass dev` starts replicas'}`
        throw new GatepassError('request_invalid', {
          problems: [{ pointer: '/body/kind', detail }],
        })
      }
      return reply.code(201).send({ name: await replicas.add(kind) })
    },
  )
  app.delete<{ Params: { name: string } }>(
    '/playground/replicas/:name',
    { schema: hide },
    async (request, reply) => {
      await replicas.stop(request.params.name)
      return reply.code(204).send(undefined)
    },
  )
  app.post('/playground/keys/rotate', { schema: hide }, async () => {
    const { kid } = await keys.rotate()
    return { kid }
  })
}

async function sessionRoute(app: FastifyInstance, deps: PlaygroundDeps): Promise<void> {
  const { verifier, issuerUrl, clock, graceMs, findSession } = deps
  await app.register(gatepassAuth, { verifier, publicUrl: issuerUrl })
  app.get('/playground/session', { schema: hide }, async (request): Promise<RefreshTokenState> => {
    const { sid } = request.auth ?? {}
    const session = sid === undefined ? null : await findSession(sid)
    if (sid === undefined || session === null) throw new GatepassError('token_revoked')
    const { mintedAtMs, lastRetryAtMs } = session
    const leftMs = Math.max(mintedAtMs, lastRetryAtMs ?? 0) + graceMs - clock.nowMs()
    return {
      session_id: sid,
      generation: session.generation,
      grace_left_ms: Math.max(0, leftMs),
    }
  })
}

function replicaRoutes(app: FastifyInstance, balancer: Balancer): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
  for (const kind of replicaKinds) {
    const prefix = `/playground/${kind}`
    app.route<{ Body: Buffer | undefined }>({
      method: ['GET', 'POST', 'PUT', 'DELETE'],
      url: `${prefix}/*`,
      schema: hide,
      handler: async (request, reply) => {
        const { method, url, headers, body } = request
        const path = url.slice(prefix.length)
        const response = await balancer.forward(kind, { method, path, headers, body })
        return reply
          .code(response.status)
          .headers(response.headers)
          .header('x-replica', response.replica)
          .serializer((payload: unknown) => payload as string)
          .send(response.body)
      },
    })
  }
}

const maxEvents = 200

/** Keeps the last events of the audit log for the page. */
export class EventLog {
  readonly #clock: Clock
  readonly #events: PlaygroundEvent[] = []
  /** Starts at the current time, so that a page of an earlier process receives the events of this one. */
  #lastId: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#lastId = clock.nowMs()
  }

  add(event: AuditEvent, { sid, kid, reason }: AuditFields): void {
    this.#lastId++
    this.#events.push({
      id: this.#lastId,
      at: new Date(this.#clock.nowMs()).toISOString(),
      event,
      ...(sid !== undefined && { session_id: sid }),
      ...(kid !== undefined && { kid }),
      ...(reason !== undefined && { reason }),
    })
    if (this.#events.length > maxEvents) this.#events.shift()
  }

  /** Events with a greater id, oldest first. */
  after(id: number): readonly PlaygroundEvent[] {
    return this.#events.filter((event) => event.id > id)
  }
}
