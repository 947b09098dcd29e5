import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { equalTexts } from '../../core/secrets.ts'
import { authorizationFailed } from './issuer-client.ts'

/** The path of the redirect URI. The port is free (RFC 8252 §7.3). */
const callbackPath = '/callback'
const maxHeaderBytes = 8 * 1024

const page = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="color-scheme" content="light dark">
<title>Gatepass</title>
<p style="font: 1.1rem system-ui; text-align: center; margin-top: 20vh">
Go back to the terminal. You can close this page.
</html>
`

const pageHeaders = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy':
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-store',
  connection: 'close',
}

/** Receives the response of one authorization request on the loopback interface. */
export interface LoopbackReceiver {
  readonly redirectUri: string
  /**
   * Waits for the response with the state of the request. A request with another state is refused and
   * changes nothing, so that no page and no other program can end the login.
   *
   * @throws `authorization_failed` after `timeoutMs`
   */
  response(timeoutMs: number): Promise<URLSearchParams>
  close(): void
}

/**
 * Listens on a free port of 127.0.0.1 (RFC 8252 §7.3, §8.3).
 *
 * @param state the `state` of the authorization request
 */
export async function openLoopback(state: string): Promise<LoopbackReceiver> {
  const received = Promise.withResolvers<URLSearchParams>()
  const server = createServer({ maxHeaderSize: maxHeaderBytes }, (request, response) => {
    const [path, query = ''] = (request.url ?? '').split('?')
    const parameters = new URLSearchParams(query)
    if (request.method !== 'GET' || path !== callbackPath) return refuse(response, 404)
    if (!equalTexts(parameters.get('state') ?? '', state)) return refuse(response, 400)
    server.close()
    response.writeHead(200, pageHeaders).end(page, () => received.resolve(parameters))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    redirectUri: `http://127.0.0.1:${port}${callbackPath}`,
    async response(timeoutMs) {
      const timer = setTimeout(() => {
        const minutes = Math.round(timeoutMs / 60_000)
        received.reject(
          authorizationFailed(`Nobody signed in within ${minutes} minutes. Run the command again.`),
        )
      }, timeoutMs)
      return received.promise.finally(() => clearTimeout(timer))
    },
    close() {
      server.close()
      server.closeAllConnections()
    },
  }
}

function refuse(response: ServerResponse, status: number): void {
  response.writeHead(status, { ...pageHeaders, 'content-type': 'text/plain' }).end()
}
