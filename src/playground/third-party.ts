import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Client } from '../issuer/clients.ts'
import type { ThirdPartySettings } from './api.ts'
import { contentPolicy } from './guard.ts'
import { PageFiles, thirdPartyIndexPath } from './page-files.ts'

const clientId = 'photo-prints'

/** The addresses of the third-party application and of its servers. */
export interface ThirdPartyOptions {
  /** Its own origin, on this machine. */
  readonly origin: string
  readonly issuer: string
  /** The URL of the API that it calls: a verifier. */
  readonly api: string
}

/** The client of the application, for the settings of the issuer. */
export function thirdPartyClient(origin: string): Client {
  return {
    client_id: clientId,
    client_name: 'Photo Prints',
    grants: ['authorization_code', 'refresh_token'],
    redirect_uris: [`${origin}/`],
    scopes: { profile: ['name'] },
    dpop: 'required',
    third_party: true,
  }
}

/** Returns the origin of the application; null if the settings have no such client. */
export function thirdPartyOrigin(clients: readonly Client[]): string | null {
  const [redirectUri] = clients.find((one) => one.client_id === clientId)?.redirect_uris ?? []
  return redirectUri === undefined ? null : new URL(redirectUri).origin
}

/**
 * Serves an application that plays another company: static files on an origin of its own. It uses
 * `@gatepass/browser/redirect` like any front end on another site.
 */
export class ThirdPartyServer {
  readonly #options: ThirdPartyOptions
  readonly #files = new PageFiles()
  readonly #server: Server

  constructor(options: ThirdPartyOptions) {
    this.#options = options
    this.#server = createServer((request, response) => this.#answer(request, response))
  }

  get origin(): string {
    return this.#options.origin
  }

  /** Listens on the port of its origin. */
  async start(): Promise<void> {
    const { hostname, port } = new URL(this.#options.origin)
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#server.once('error', reject).listen(Number(port), hostname, resolve)
    await promise
  }

  close(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }

  async #answer({ method, url = '/', headers }: IncomingMessage, response: ServerResponse) {
    const { origin, issuer, api } = this.#options
    const origins = [issuer, api].map((one) => new URL(one).origin)
    response.setHeader('cache-control', 'no-store')
    response.setHeader('x-content-type-options', 'nosniff')
    response.setHeader('content-security-policy', contentPolicy(origins))
    if (method !== 'GET') return response.writeHead(405, { allow: 'GET' }).end()
    // Only this origin is registered as redirect URI.
    if (headers.host !== new URL(origin).host) {
      return response.writeHead(302, { location: `${origin}/` }).end()
    }
    try {
      const { type, text } = await this.#read(new URL(url, origin).pathname)
      response.setHeader('content-type', type)
      response.end(text)
    } catch {
      response.writeHead(404).end()
    }
  }

  async #read(path: string) {
    const { issuer, api } = this.#options
    if (path === '/') return this.#files.read(thirdPartyIndexPath)
    if (path !== '/settings.json') return this.#files.read(path.replace(/^\/files\//, ''))
    const settings = { issuer, api, client_id: clientId, scope: 'openid profile' }
    const text = JSON.stringify(settings satisfies ThirdPartySettings)
    return { type: 'application/json', text }
  }
}
