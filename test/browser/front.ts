import { readFileSync } from 'node:fs'
import { type IncomingMessage, request, type ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Page } from 'playwright-core'
import type { Test } from 'tap'
import { bundle, bundles } from '../../scripts/browser-bundles.ts'
import { password } from '../support/accounts.ts'
import type { Certificates } from '../support/certificates.ts'
import { startHttpServer } from '../support/http-server.ts'
import { TestProcess } from '../support/processes.ts'
import { addUser, serviceEnv } from '../support/services.ts'
import { createTestFolder } from '../support/test-folder.ts'

type Handler = (request: IncomingMessage, response: ServerResponse) => void

/** Starts a server that accepts TLS for all hosts on one port. */
export async function startFront(t: Test, { cert, key }: Certificates) {
  const hosts = new Map<string, Handler>()
  const options = { cert: readFileSync(cert), key: readFileSync(key) }
  const server = createServer(options, (request, response) => {
    const handler = hosts.get(request.headers.host ?? '')
    // One connection per request: a browser may repeat a request on a connection that was kept.
    response.setHeader('connection', 'close')
    if (handler) handler(request, response)
    else response.writeHead(404).end()
  })
  const { port } = await startHttpServer(t, server)
  return { port, hosts }
}

/** The fate of a request on its way. A `held` request never gets a response. */
export type Fate = 'fine' | 'answer lost' | 'held'

/**
 * Forwards requests to a port of this machine. The fate of a request is decided when its response arrives,
 * so the server has handled it. A preflight is always fine.
 * @param connection a browser repeats a request by itself if a connection that was kept breaks off
 */
export function passTo(
  port: number,
  fateOf: (path: string, incoming: IncomingMessage) => Fate = () => 'fine',
  connection: 'close' | 'keep-alive' = 'close',
): Handler {
  return (incoming, response) => {
    const { method, url: path = '/', headers } = incoming
    const outgoing = request({ host: '127.0.0.1', port, method, path, headers }, (answer) => {
      const fate = method === 'OPTIONS' ? 'fine' : fateOf(path, incoming)
      if (fate === 'held') answer.resume()
      else if (fate === 'answer lost') response.destroy()
      else {
        response.writeHead(answer.statusCode ?? 502, { ...answer.headers, connection })
        answer.pipe(response)
      }
    })
    outgoing.on('error', () => response.destroy())
    incoming.pipe(outgoing)
  }
}

/** A front end with a strict Content-Security-Policy, whose page creates a client with these options. */
export async function frontEnd(t: Test, options: { readonly issuer: string }): Promise<Handler> {
  const script = bundles.find(({ format }) => format === 'iife')
  if (!script) throw new Error('there is no bundle for a script tag')
  const file = join(createTestFolder(t), script.file)
  await bundle(script, file)
  const csp = `default-src 'none'; script-src 'self'; connect-src ${new URL(options.issuer).origin}`
  const html = `<!doctype html><script src="gatepass.js"></script><script src="page.js"></script>`
  const page = `
    var heard = [], violations = []
    addEventListener('securitypolicyviolation', (event) => violations.push(event.violatedDirective))
    var auth = gatepass.createAuthClient({ ...${JSON.stringify(options)}, dpop: location.search === '?dpop' })
    auth.onChange(({ status }) => heard.push(status))`
  const files = new Map([
    ['gatepass.js', readFileSync(file, 'utf8')],
    ['page.js', page],
  ])
  return ({ url = '' }, response) => {
    const name = url.replace(/.*\//, '')
    const text = files.get(name)
    response.setHeader('content-security-policy', csp)
    response.setHeader('content-type', text === undefined ? 'text/html' : 'text/javascript')
    response.end(text ?? html)
  }
}

/** Settings of an issuer whose access tokens and grace periods last for a second, the shortest time. */
export const shortLived = { GATEPASS_ACCESS_TTL_S: '1', GATEPASS_GRACE_S: '1' }

/** Waits until an access token of an issuer with `shortLived` has expired. */
export const untilTokenExpires = () => sleep(1_100)

/** Waits until a grace period of an issuer with `shortLived` is over. */
export const untilGraceEnds = () => sleep(1_200)

/** Starts a real issuer in its own process, with the user `ada`. */
export async function startIssuer(t: Test, env: Readonly<Record<string, string>>) {
  const options = { cwd: createTestFolder(t), env: { ...serviceEnv, ...env } }
  await addUser(options)
  const { port, adminUrl } = await TestProcess.start(t, ['issuer'], options).ready()
  /** Counts audit events by the metrics: unlike the log, they are complete when a response arrives. */
  const countOf = async (event: string) => {
    const metrics = await (await fetch(`${adminUrl}/metrics`)).text()
    return Number(metrics.match(`gatepass_events_total{event="${event}"} (\\d+)`)?.[1] ?? 0)
  }
  return { port, countOf }
}

/** Fills in the sign-in page of the issuer. */
export async function fillIn(page: Page, user = { username: 'ada', password }): Promise<void> {
  await page.getByLabel('User name').fill(user.username)
  await page.getByLabel('Password').fill(user.password)
  await page.getByRole('button', { name: 'Sign in' }).click()
}

/** Lets tabs call a URL for five seconds: the user stays signed in, and no policy is violated. */
export async function stayWhileCalling(t: Test, tabs: readonly Page[], url: string): Promise<void> {
  const script = `(async () => {
    const statuses = new Set()
    for (const end = performance.now() + 5000; performance.now() < end; ) {
      statuses.add((await auth.fetch('${url}')).status)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    return { statuses: [...statuses], signedOut: heard.includes('signed-out'), violations }
  })()`
  const expected = { statuses: [200], signedOut: false, violations: [] }
  for (const found of await Promise.all(tabs.map((tab) => tab.evaluate(script)))) {
    t.same(found, expected)
  }
}
