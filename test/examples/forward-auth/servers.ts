import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import { createServer as createSocketServer, type Server, type Socket } from 'node:net'
import { pino } from 'pino'
import type { Test } from 'tap'
import { freePort } from '../../../scripts/free-port.ts'
import { Metrics } from '../../../src/http/metrics.ts'
import { buildVerifierApp } from '../../../src/http/verifier-app.ts'
import { createVerifier, type Verifier } from '../../../src/verifier/index.ts'
import { audience, issuer, makeKey, TestClock } from '../../support/tokens.ts'
import type { RawHeaders } from './client.ts'
import type { Services } from './services.ts'

export interface SeenRequest {
  readonly method: string
  readonly path: string
  readonly headers: RawHeaders
  readonly body: string
}

/** Chooses which of the services of `startServices` answers a request. */
export const serviceHeader = 'X-Service'

/**
 * What runs behind the proxy: it keeps each request, and answers 200, or has one of these services
 * answer where the client names it.
 */
export async function startApplication(t: Test, services: Services = {}) {
  const requests: SeenRequest[] = []
  const server = createServer(async (request, response) => {
    const { method = '', url: path = '', rawHeaders: headers } = request
    const service = services[String(request.headers[serviceHeader.toLowerCase()])]
    if (service !== undefined) {
      requests.push({ method, path, headers, body: '' })
      return service(request, response)
    }
    const body = Buffer.concat(await request.toArray()).toString()
    requests.push({ method, path, headers, body })
    response.end('the application')
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as { port: number }
  return { requests, address: `127.0.0.1:${port}` }
}

export type Application = Awaited<ReturnType<typeof startApplication>>

export const signingKey = makeKey('ES256')

/** What stands at the ports of the verifiers. */
export type Kind = 'good' | 'without keys' | 'silent' | RequestListener

/** Two verifiers, which can be stopped and replaced, and keep their ports. */
export async function startVerifiers(t: Test) {
  const clock = new TestClock()
  const verifier = createVerifier({
    ...{ issuer, audience, clock },
    jwks: { keys: [signingKey.publicJwk] },
  })
  // Nobody listens at the discard port.
  const keyless = createVerifier({ issuer: 'http://127.0.0.1:9', audience, clock })
  const requests: (SeenRequest & { readonly replica: number })[] = []
  const ports = [await freePort(), await freePort()]
  const running: (() => Promise<unknown>)[] = []

  async function stop(): Promise<void> {
    await Promise.all(running.splice(0).map((close) => close()))
  }

  /** Has these take the place of what is there. */
  async function serve(...kinds: (Kind | 'nothing')[]): Promise<void> {
    await stop()
    for (const [replica, kind] of kinds.entries()) {
      if (kind === 'nothing') continue
      running.push(await serveOne(kind, replica))
    }
  }

  async function serveOne(kind: Kind, replica: number): Promise<() => Promise<unknown>> {
    const port = ports[replica] ?? 0
    if (kind === 'silent') return listen(createSocketServer(), port)
    if (typeof kind === 'function') return listen(createServer(kind), port)
    const app = serviceOf(kind === 'good' ? verifier : keyless)
    app.server.prependListener('request', ({ method = '', url: path = '', rawHeaders: headers }) =>
      requests.push({ replica, method, path, headers, body: '' }),
    )
    await app.listen({ host: '127.0.0.1', port })
    return () => app.close()
  }

  t.teardown(async () => {
    await stop()
    await Promise.all([verifier.close(), keyless.close()])
  })
  await serve('good', 'good')
  const addresses = ports.map((port) => `127.0.0.1:${port}`)
  return { addresses, clock, requests, serve }
}

export type Verifiers = Awaited<ReturnType<typeof startVerifiers>>

/** The service as it is, behind a proxy on this machine. */
function serviceOf(verifier: Verifier) {
  const logger = pino({ level: 'silent' })
  const common = { logger, metrics: new Metrics(), version: '0' }
  return buildVerifierApp({ ...common, verifier, trustedProxies: ['127.0.0.1'] })
}

async function listen(server: Server, port: number): Promise<() => Promise<unknown>> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => sockets.add(socket.on('error', () => {})))
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return async () => {
    for (const socket of sockets) socket.destroy()
    await once(server.close(), 'close')
  }
}
