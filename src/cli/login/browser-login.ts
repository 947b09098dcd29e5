import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { commandLineClientId } from '../../config/clients.ts'
import { digestText, equalTexts, randomId } from '../../core/secrets.ts'
import type { CliContext } from '../context.ts'
import { authorizationFailed, type IssuerClient, type Tokens } from './issuer-client.ts'

/** How long the user may take: as long as the form of the sign-in page is valid. */
const timeoutMs = 10 * 60_000

export interface BrowserLoginRequest {
  readonly client?: string | undefined
  readonly scope?: string | undefined
  /** The user name that the sign-in page suggests. */
  readonly loginHint?: string | undefined
}

/**
 * Signs in by a browser on this machine: an authorization code with PKCE, received on the loopback
 * interface (RFC 8252). The request is pushed (RFC 9126), so the terminal shows why it is refused.
 *
 * @param showUrl shows the address of the sign-in page and opens it
 * @throws `authorization_failed`, `issuer_unavailable`
 */
export async function loginByBrowser(
  issuer: IssuerClient,
  { client = commandLineClientId, scope, loginHint }: BrowserLoginRequest,
  showUrl: (url: string) => void,
): Promise<Tokens> {
  const [state, codeVerifier] = [randomId(), randomId() + randomId()]
  const loopback = await openLoopback(state)
  try {
    const { redirectUri } = loopback
    const requestUri = await issuer.pushAuthorization({
      response_type: 'code',
      client_id: client,
      redirect_uri: redirectUri,
      code_challenge: digestText(codeVerifier),
      code_challenge_method: 'S256',
      state,
      scope,
      login_hint: loginHint,
    })
    showUrl(issuer.authorizationUrl(client, requestUri))
    const code = codeOf(await loopback.response(), issuer.issuer)
    return await issuer.redeemCode({
      client_id: client,
      redirect_uri: redirectUri,
      code_verifier: codeVerifier,
      code,
    })
  } finally {
    loopback.close()
  }
}

/** Returns the code of a response. @throws `authorization_failed` */
function codeOf(response: URLSearchParams, issuer: string): string {
  // RFC 9207 §2.4: a response of another issuer carries the name of that issuer.
  const sender = response.get('iss') ?? 'an issuer without a name'
  if (sender !== issuer) {
    throw authorizationFailed(`The response is from ${sender}, not ${issuer}. Check the URL.`)
  }
  const error = response.get('error')
  if (error === 'access_denied') throw authorizationFailed('The sign-in was canceled.')
  if (error !== null) throw authorizationFailed(response.get('error_description') ?? error)
  return response.get('code') ?? ''
}

/** Opens an address in the user's browser. A machine without a browser is not an error. */
export function openBrowser({ env }: Pick<CliContext, 'env'>, url: string): void {
  const [command = '', ...args] = browserCommand(env.BROWSER)
  const child = spawn(command, [...args, url], {
    stdio: 'ignore',
    detached: true,
    env: env as NodeJS.ProcessEnv,
  })
  child.on('error', () => {})
  child.unref()
}

function browserCommand(browser: string | undefined): string[] {
  if (browser) return [browser]
  if (process.platform === 'darwin') return ['open']
  // Unlike `start` of cmd.exe, this command accepts an address with `&` unchanged.
  if (process.platform === 'win32') return ['rundll32', 'url.dll,FileProtocolHandler']
  return ['xdg-open']
}

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
interface LoopbackReceiver {
  readonly redirectUri: string
  /**
   * Waits for the response with the state of the request. A request with another state is refused and
   * changes nothing, so that no page and no other program can end the login.
   *
   * @throws `authorization_failed` after `timeoutMs`
   */
  response(): Promise<URLSearchParams>
  close(): void
}

/**
 * Listens on a free port of 127.0.0.1 (RFC 8252 §7.3, §8.3).
 *
 * @param state the `state` of the authorization request
 */
async function openLoopback(state: string): Promise<LoopbackReceiver> {
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
    async response() {
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
