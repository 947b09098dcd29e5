import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { commandLineClientId } from '../../config/clients.ts'
import { isRemoteHttp } from '../../config/validators.ts'
import { systemClock } from '../../core/clock.ts'
import { GatepassError } from '../../core/errors.ts'
import { digestText, equalTexts, randomId } from '../../core/secrets.ts'
import { type CliContext, unusableSetting, userConfigOf } from '../context.ts'
import { authorizationFailed, IssuerClient, type Tokens } from '../login/issuer-client.ts'
import { SavedSession, SessionFile } from '../login/saved-session.ts'
import { askLine, oneLine, readPassword } from '../terminal.ts'

/** The commands of a user at a terminal: `gatepass login`, `token` and `logout`. */

export interface IssuerOption {
  readonly issuer?: string
}

interface LoginOptions extends IssuerOption {
  readonly client?: string
  readonly scope?: string
  readonly browser?: true
  readonly password?: true
}

/**
 * Signs in with the browser. Uses the password if a user name is given or if there is no terminal.
 */
export async function login(
  context: CliContext,
  name: string | undefined,
  options: LoginOptions,
): Promise<void> {
  const client = new IssuerClient(issuerOf(context, options))
  if (isRemoteHttp(new URL(client.issuer))) {
    throw unusableSetting('issuer', 'must be https: passwords and tokens pass through it')
  }
  const isAtTerminal = context.stdin.isTTY && name === undefined
  const byBrowser = options.browser ?? (isAtTerminal && !options.password)
  const signIn = byBrowser ? signInByBrowser : signInByPassword
  const { username, tokens } = await signIn(context, client, name, options)
  const { issuer } = await sessionOf(context, options).save(username, tokens)
  context.stderr.write(`Signed in as ${oneLine(username)} at ${issuer}.\n`)
}

interface SignedIn {
  readonly username: string
  readonly tokens: Tokens
}

async function signInByPassword(
  context: CliContext,
  issuer: IssuerClient,
  name: string | undefined,
  { client, scope }: LoginOptions,
): Promise<SignedIn> {
  const username = name ?? (await askName(context))
  // The settings, and so the issuer, may be those of a folder that somebody else wrote.
  const prompt = `Password of ${oneLine(username)} at ${issuer.issuer}: `
  const password = await readPassword(context, prompt)
  return { username, tokens: await issuer.login({ username, password, client, scope }) }
}

async function signInByBrowser(
  context: CliContext,
  issuer: IssuerClient,
  loginHint: string | undefined,
  options: LoginOptions,
): Promise<SignedIn> {
  const tokens = await authorizeByBrowser(context, issuer, loginHint, options)
  try {
    return { username: await issuer.username(tokens.access_token), tokens }
  } catch (error) {
    // The session would stay in the user's list of devices, and nobody could use it.
    await issuer.logout(tokens.refresh_token).catch(() => {})
    throw error
  }
}

export async function logout(context: CliContext, options: IssuerOption): Promise<void> {
  const { username, issuer } = await sessionOf(context, options).logout()
  context.stderr.write(`Signed out ${oneLine(username)} at ${issuer}.\n`)
}

export async function printToken(context: CliContext, options: IssuerOption): Promise<void> {
  context.stdout.write(`${await sessionOf(context, options).accessToken()}\n`)
}

export function sessionOf(context: CliContext, options: IssuerOption): SavedSession {
  const issuer = issuerOf(context, options)
  const file = new SessionFile(context, issuer)
  return new SavedSession({ client: new IssuerClient(issuer), file, clock: systemClock })
}

/**
 * Returns the issuer of the option, or of the settings. In production both must be https, unless the
 * host is this machine.
 * @throws `config_invalid`
 */
export function issuerOf(context: CliContext, { issuer }: IssuerOption): string {
  if (issuer === undefined) return userConfigOf(context).settings.issuer
  const env = { ...context.env, GATEPASS_ISSUER: issuer, GATEPASS_ISSUER_FILE: undefined }
  return userConfigOf({ ...context, env }).settings.issuer
}

/** Without a terminal, standard input is for the password. */
async function askName(context: CliContext): Promise<string> {
  if (context.stdin.isTTY) return askLine(context, 'User name: ')
  const detail =
    'Give the user name: gatepass login <user-name>. The password is read from standard input.'
  throw new GatepassError('request_invalid', { detail })
}

/** How long the user may take in the browser: as long as the form of the sign-in page is valid. */
const browserTimeoutMs = 10 * 60_000

/**
 * Authorizes by a browser on this machine: an authorization code with PKCE, received on the loopback
 * interface (RFC 8252). The request is pushed (RFC 9126), so the terminal shows why it is refused.
 *
 * @param loginHint the user name that the sign-in page suggests
 * @throws `authorization_failed`, `issuer_unavailable`
 */
async function authorizeByBrowser(
  context: CliContext,
  issuer: IssuerClient,
  loginHint: string | undefined,
  { client = commandLineClientId, scope }: LoginOptions,
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
    const url = issuer.authorizationUrl(client, requestUri)
    context.stderr.write(`Sign in with your browser. If it does not open, visit:\n${url}\n`)
    openBrowser(context, url)
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
function openBrowser({ env }: Pick<CliContext, 'env'>, url: string): void {
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
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Gatepass</title>
<main style="font: 1.1rem system-ui; text-align: center; margin-top: 20vh">
<h1 style="font-size: 1.5rem">Go back to the terminal.</h1>
<p>You can close this page.
</main>
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

/**
 * Listens on a free port of 127.0.0.1 for the response of one authorization request (RFC 8252 §7.3, §8.3).
 * A request with another `state` is refused and changes nothing, so that no page and no other program can
 * end the login.
 */
async function openLoopback(state: string) {
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
    /** Waits for the response. @throws `authorization_failed` after `browserTimeoutMs` */
    async response() {
      const timer = setTimeout(() => {
        const minutes = Math.round(browserTimeoutMs / 60_000)
        received.reject(
          authorizationFailed(`Nobody signed in within ${minutes} minutes. Run the command again.`),
        )
      }, browserTimeoutMs)
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
