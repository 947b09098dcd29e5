import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { freePort } from '../../scripts/free-port.ts'
import { launchChromium } from '../browser/chromium.ts'
import { startIssuer } from '../browser/front.ts'
import { isReadable, looks } from '../browser/looks.ts'
import { password } from '../support/accounts.ts'
import { startHttpServer } from '../support/http-server.ts'
import { run, TestProcess } from '../support/processes.ts'
import { createTestFolder } from '../support/test-folder.ts'
import { until } from '../support/until.ts'

/** `gatepass login` by the browser, against a real issuer with its default clients. */

const port = await freePort()
const issuer = `http://127.0.0.1:${port}`
await startIssuer(t, { GATEPASS_ISSUER: issuer, GATEPASS_PORT: `${port}` })

/** Starts a login on a new machine of ada's, and waits until its page is opened. */
async function startLogin(t: Test, args: readonly string[] = []) {
  const cwd = createTestFolder(t)
  const opened = join(cwd, 'opened')
  const browser = join(cwd, 'browser')
  writeFileSync(
    browser,
    `#!/bin/sh\nprintf %s "$1" > "${opened}.new" && mv "${opened}.new" "${opened}"\n`,
  )
  chmodSync(browser, 0o755)
  const env = { GATEPASS_ISSUER: issuer, XDG_STATE_HOME: join(cwd, 'state'), BROWSER: browser }
  const login = TestProcess.start(t, ['login', '--browser', ...args], { cwd, env })
  await until('its page is opened', () => existsSync(opened))
  const gatepass = (args: readonly string[]) => run(t, args, { cwd, env })
  return { login, gatepass, url: readFileSync(opened, 'utf8') }
}

/** The redirect URI and the state, as the page of the issuer learns them by the pushed request. */
async function cancel(url: string): Promise<URL> {
  const page = await fetch(url)
  const html = await page.text()
  const interaction = /name="interaction" value="([^"]*)"/.exec(html)?.[1] ?? ''
  const cookie = page.headers
    .getSetCookie()
    .map((one) => one.split(';')[0])
    .join('; ')
  const answer = await fetch(`${issuer}/oauth/sign-in`, {
    method: 'POST',
    redirect: 'manual',
    headers: { cookie, origin: issuer, 'sec-fetch-site': 'same-origin' },
    body: new URLSearchParams({ interaction, decision: 'cancel' }),
  })
  return new URL(answer.headers.get('location') ?? '')
}

t.test('login --browser signs in with consent, and token and logout use the session', async (t) => {
  const browser = await launchChromium(t)
  const options = { ...looks['dark, on a phone'], locale: 'en-GB', bypassCSP: true }
  const page = await (await browser.newContext(options)).newPage()
  const { login, gatepass, url } = await startLogin(t, ['ada'])
  t.ok(login.stderr.includes(`visit:\n${url}\n`))
  await page.goto(url)
  t.equal(await page.getByLabel('User name').inputValue(), 'ada')
  await page.getByLabel('Password').fill(password)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('button', { name: 'Allow', exact: true }).click()
  await page.getByText('Go back to the terminal.').waitFor()
  await isReadable(t, page, 'the last page')
  t.equal(await page.evaluate('innerWidth'), 390, 'the page has the width of the phone')
  t.equal(await login.exited, 0)
  t.match(login.stderr, `Signed in as ada at ${issuer}.`)
  // The address of the request is random, so it may contain any of these.
  t.notMatch(login.stderr.replace(url, ''), /gpr_|gpc_|eyJ/)

  const token = (await gatepass(['token'])).stdout.trim()
  const headers = { authorization: `Bearer ${token}` }
  t.equal((await fetch(`${issuer}/me`, { headers })).status, 200)
  t.match(await gatepass(['logout']), { code: 0, stderr: /^Signed out ada/ })
  t.equal((await fetch(`${issuer}/me`, { headers })).status, 401)

  const second = await startLogin(t)
  await page.goto(second.url)
  // Signed in there. Another program could have sent the request, so the user is asked again.
  await page.getByRole('button', { name: 'Allow', exact: true }).click()
  await page.getByText('Go back to the terminal.').waitFor()
  t.equal(await second.login.exited, 0)
})

t.test('only the response to this request, from this issuer, is accepted', async (t) => {
  const { login, gatepass, url } = await startLogin(t)
  const response = await cancel(url)
  t.match(response.href, /^http:\/\/127\.0\.0\.1:\d+\/callback\?error=access_denied/)
  const send = async (changes: Record<string, string>, init: RequestInit = {}) => {
    const changed = new URL(response)
    for (const [name, value] of Object.entries(changes)) changed.searchParams.set(name, value)
    return (await fetch(changed, init)).status
  }
  t.equal(await send({ state: 'guessed', code: 'gpc_injected' }), 400)
  t.equal(await send({ state: '' }), 400)
  t.equal(await send({}, { method: 'POST' }), 404)
  t.equal((await fetch(new URL('/favicon.ico', response))).status, 404)
  t.equal(await send({ iss: 'https://evil.example', code: 'gpc_injected' }), 200)
  t.equal(await login.exited, 1)
  t.match(login.stderr, /The response is from https:..evil.example, not .*\(authorization_failed\)/)
  t.match(await gatepass(['token']), { code: 1, stderr: /You are not signed in/ })
})

t.test('the session ends if the command cannot finish the sign-in', async (t) => {
  const tokens = { access_token: 'a', expires_in: 300, scope: '', session_id: 's' }
  const seen: string[] = []
  const { url: fake } = await startHttpServer(t, async (request, response) => {
    const body = await text(request)
    seen.push(`${request.url} ${body.includes('gpr_r')}`)
    const answer = (status: number, json: object) =>
      response.writeHead(status).end(JSON.stringify(json))
    if (request.url === '/oauth/token') return answer(200, { ...tokens, refresh_token: 'gpr_r' })
    if (request.url !== '/oauth/par') return answer(503, { code: 'store_unavailable' })
    answer(201, { request_uri: 'urn:x' })
    const pushed = new URLSearchParams(body)
    const parameters = { code: 'c', iss: fake, state: pushed.get('state') ?? '' }
    await fetch(`${pushed.get('redirect_uri')}?${new URLSearchParams(parameters)}`)
  })
  const cwd = createTestFolder(t)
  const env = { GATEPASS_ISSUER: fake, XDG_STATE_HOME: join(cwd, 'state'), BROWSER: 'true' }
  const failed = await run(t, ['login', '--browser'], { cwd, env })
  t.match(failed, { code: 1, stderr: /\(store_unavailable\)/ })
  t.same(seen, ['/oauth/par false', '/oauth/token false', '/me false', '/logout true'])
})

t.test('a canceled or refused sign-in is an error', async (t) => {
  const { login, url } = await startLogin(t)
  await fetch(await cancel(url))
  t.equal(await login.exited, 1)
  t.match(login.stderr, 'The sign-in was canceled. (authorization_failed)')

  const cwd = createTestFolder(t)
  const env = { GATEPASS_ISSUER: issuer, XDG_STATE_HOME: join(cwd, 'state'), BROWSER: 'false' }
  for (const [option, value, expected] of [
    ['--client', 'nobody', /\(authorization_failed\)/],
    ['--client', 'default', /\(authorization_failed\)/],
    ['--scope', 'everything', /may not ask for this scope: everything/],
  ] as const) {
    const refused = await run(t, ['login', '--browser', option, value], { cwd, env })
    t.match(refused, { code: 1, stdout: /^$/, stderr: expected })
    t.notMatch(refused.stderr, /visit/)
  }
  const both = await run(t, ['login', '--browser', '--password'], { cwd, env })
  t.match(both, { code: 2, stderr: /cannot be used with/ })
})
