import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import { createServer as createSocketServer, type Server, type Socket } from 'node:net'
import type { Test } from 'tap'
import { freePort } from '../../../scripts/free-port.ts'
import { Draining } from '../../../src/http/draining.ts'
import { createVerifier } from '../../../src/verifier/index.ts'
import { FakeClock } from '../../support/clock.ts'
import { startHttpServer } from '../../support/http-server.ts'
import { audience, issuer, makeKey, now_s } from '../../support/tokens.ts'
import { openVerifierApp } from '../../support/verifier-app.ts'
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
 * Starts the application behind the proxy. It records each request and responds with 200, or as the
 * service that the client names.
 */
export async function startApplication(t: Test, services: Services = {}) {
  const requests: SeenRequest[] = []
  const { port } = await startHttpServer(t, async (request, response) => {
    const { method = '', url: path = '', rawHeaders: headers } = request
    const service = services[String(request.headers[serviceHeader.toLowerCase()])]
    if (service !== undefined) {
      requests.push({ method, path, headers, body: '' })
      return service(request, response)
    }
    const body = Buffer.concat(await request.toArray()).toString()
    requests.push({ method, path, headers, body })
    response.end('the application')
  })
  return { requests, address: `127.0.0.1:${port}` }
}

/** Returns the host of a replica on this machine. As in production, hosts differ and ports do not. */
export function hostOf(replica: number): string {
  return `127.0.1.${replica + 1}`
}

export const signingKey = makeKey('ES256')

/** A kind of server at the port of a verifier. */
export type Kind = 'good' | 'without keys' | 'silent' | RequestListener

/** Starts two verifiers, which can be stopped and replaced at the same ports. */
export async function startVerifiers(t: Test) {
  const clock = new FakeClock(now_s * 1000)
  const verifier = createVerifier({
    issuer,
    audience,
    clock,
    jwks: { keys: [signingKey.publicJwk] },
  })
  // Nobody listens at the discard port.
  const keyless = createVerifier({ issuer: 'http://127.0.0.1:9', audience, clock })
  const requests: (SeenRequest & { readonly replica: number })[] = []
  const [port, adminPort] = [await freePort(), await freePort()]
  const running: (() => Promise<unknown>)[] = []

  async function stop(): Promise<void> {
    await Promise.all(running.splice(0).map((close) => close()))
  }

  /** Replaces the running servers. */
  async function serve(...kinds: (Kind | 'nothing')[]): Promise<void> {
    await stop()
    for (const [replica, kind] of kinds.entries()) {
      if (kind === 'nothing') continue
      running.push(await serveOne(kind, replica))
      const readiness: RequestListener = (_request, response) =>
        response.writeHead(kind === 'without keys' ? 503 : 200).end()
      running.push(
        await listen(createServer(readiness), { host: hostOf(replica), port: adminPort }),
      )
    }
  }

  async function serveOne(kind: Kind, replica: number): Promise<() => Promise<unknown>> {
    const address = { host: hostOf(replica), port }
    if (kind === 'silent') return listen(createSocketServer(), address)
    if (typeof kind === 'function') return listen(createServer(kind), address)
    const service = { trustedProxies: ['127.0.0.1'] }
    const app = openVerifierApp(t, kind === 'good' ? verifier : keyless, { service })
    app.server.prependListener('request', ({ method = '', url: path = '', rawHeaders: headers }) =>
      requests.push({ replica, method, path, headers, body: '' }),
    )
    const draining = new Draining(app)
    await app.listen(address)
    return () => draining.close()
  }

  t.teardown(async () => {
    await stop()
    await Promise.all([verifier.close(), keyless.close()])
  })
  await serve('good', 'good')
  return { port, adminPort, clock, requests, serve }
}

async function listen(
  server: Server,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<() => Promise<unknown>> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => sockets.add(socket.on('error', () => {})))
  server.listen(port, host)
  await once(server, 'listening')
  return async () => {
    for (const socket of sockets) socket.destroy()
    await once(server.close(), 'close')
  }
}
