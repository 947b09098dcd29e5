import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { BrowserContext, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { bundle, bundles } from '../../scripts/browser-bundles.ts'
import { freePort } from '../../scripts/free-port.ts'
import { startHttpServer } from '../support/http-server.ts'
import { createTestFolder } from '../support/test-folder.ts'
import { until } from '../support/until.ts'
import { deleteDatabase, launchChromium } from './chromium.ts'
import {
  type Fate,
  fillIn,
  passTo,
  shortLived,
  startIssuer,
  untilGraceEnds,
  untilTokenExpires,
} from './front.ts'

/** A front end in a real browser, and a real issuer on another site some of whose responses get lost. */

let fateOf: (path: string, hasNonce: boolean) => Fate = () => 'fine'
let refreshes = 0
/** The Cross-Origin-Opener-Policy of the front end. */
let openerPolicy = 'unsafe-none'
/** Whether the front end answers every address with a page without its script. */
let holdUp = false
const issuerPort = await freePort()
const { url: issuerUrl } = await startHttpServer(
  t,
  passTo(issuerPort, (path, { headers }) => fateOf(path, hasNonce(headers.dpop))),
)

/** Whether a proof has a nonce. Without one the issuer looks at nothing else. */
function hasNonce(proof: string | string[] | undefined): boolean {
  const [, claims = ''] = String(proof).split('.')
  return Buffer.from(claims, 'base64url').includes('"nonce":')
}

const csp = `default-src 'none'; script-src 'self'; connect-src ${issuerUrl}`
const file = join(createTestFolder(t), 'redirect.mjs')
await bundle(bundles.find(({ entry }) => entry === 'redirect') as (typeof bundles)[number], file)
const { url: appUrl } = await startHttpServer(t, (request, response) => {
  const { pathname, origin } = new URL(request.url ?? '', `http://${request.headers.host}`)
  const scripts: Record<string, string> = {
    '/redirect.mjs': readFileSync(file, 'utf8'),
    '/page.mjs': `
      import { createAuthClient } from './redirect.mjs'
      window.heard = []
      window.violations = []
      addEventListener('securitypolicyviolation', (event) => violations.push(event.violatedDirective))
      window.arrivedAt = location.href
      const options = {
        flow: 'redirect',
        issuer: '${issuerUrl}',
        clientId: sessionStorage.client ??= location.search === '?renewing' ? 'renewing' : 'shop',
        redirectUri: '${origin}/cb' + (sessionStorage.client === 'renewing' ? '?by=the%20issuer' : ''),
        scope: 'openid profile',
      }
      window.auth = createAuthClient(options)
      if (sessionStorage.isTwice) window.twin = createAuthClient(options)
      auth.onChange(({ status }) => heard.push(status))
      window.outcome = auth.returned.then((value) => value, ({ code, message }) => ({ code, message }))
      // A call at once: on a slow machine, a token of a second has expired when the test calls.
      if (sessionStorage.client === 'renewing')
        window.called = outcome.then(() => auth.fetch('${issuerUrl}/me')).then(({ status }) => status)
      window.openPopup = (request) => auth.login({ ...request, popup: true })
        .then(() => 'signed in', ({ code, message }) => code + ' ' + message)
      if (location.search === '?uninvited') window.uninvited = openPopup()`,
  }
  const script = scripts[pathname]
  response.setHeader('content-security-policy', csp)
  response.setHeader('cross-origin-opener-policy', openerPolicy)
  response.setHeader('content-type', script === undefined ? 'text/html' : 'text/javascript')
  if (holdUp) return response.end('held up')
  response.end(script ?? '<!doctype html><script type="module" src="/page.mjs"></script>')
})
const app = appUrl.replace('127.0.0.1', 'localhost')
const issuer = await startIssuer(t, {
  GATEPASS_ISSUER: issuerUrl,
  GATEPASS_PORT: `${issuerPort}`,
  GATEPASS_ALLOWED_ORIGINS: app,
  ...shortLived,
  GATEPASS_DPOP_NONCE: 'required',
  GATEPASS_CLIENTS: JSON.stringify([
    { client_id: 'first-party', scopes: {} },
    {
      client_id: 'shop',
      grants: ['authorization_code', 'refresh_token'],
      redirect_uris: [`${app}/cb`],
      scopes: { profile: ['name'] },
      dpop: 'required',
    },
    {
      client_id: 'renewing',
      grants: ['authorization_code'],
      redirect_uris: [`${app}/cb?by=the%20issuer`],
      scopes: { profile: ['name'] },
    },
  ]),
})
const chromium = await launchChromium(t)

/** Waits for a condition. Playwright polls by `eval`, which the policy of the page forbids. */
function holds(page: Page, condition: string): Promise<void> {
  // A page that is being left answers nothing.
  return until(condition, () => page.evaluate<boolean>(`!!(${condition})`).catch(() => false))
}

async function openApp(user: BrowserContext, path = '/'): Promise<Page> {
  const page = await user.newPage()
  await page.goto(`${app}${path}`)
  await holds(page, 'window.auth')
  return page
}

const status = (page: Page): Promise<string> => page.evaluate('auth.state.status')
const call = (page: Page): Promise<number> =>
  page.evaluate(`auth.fetch('${issuerUrl}/me').then((response) => response.status)`)
const outcome = (page: Page) => page.evaluate('outcome')

/** Leaves the page for the issuer. */
async function leave(page: Page, request = ''): Promise<void> {
  await page.evaluate(`{
    window.isLeft = true
    void auth.login(${request})
  }`)
}

async function arrive(page: Page): Promise<void> {
  await holds(page, `!window.isLeft && window.outcome && location.href.startsWith('${app}/cb')`)
}

async function newUser(t: Test): Promise<BrowserContext> {
  fateOf = (path) => {
    if (path === '/oauth/token') refreshes += 1
    return 'fine'
  }
  const user = await chromium.newContext({ locale: 'en-GB' })
  t.teardown(() => user.close())
  return user
}

/** Signs a user in. */
async function signIn(t: Test, user: BrowserContext): Promise<Page> {
  const page = await openApp(user)
  await leave(page)
  await fillIn(page)
  await arrive(page)
  t.same(await outcome(page), { returnTo: `${app}/` })
  t.equal(await call(page), 200)
  return page
}

/** Sets the fate of the next token request with a nonce. Resolves when that request arrives. */
function onNextToken(fate: Fate): Promise<void> {
  return new Promise((resolve) => {
    fateOf = (path, hasNonce) => {
      if (path !== '/oauth/token' || !hasNonce) return 'fine'
      fateOf = () => 'fine'
      resolve()
      return fate
    }
  })
}

t.test('sign in, reload, sign out; nothing that can be used elsewhere is in reach', async (t) => {
  const user = await newUser(t)
  const first = await signIn(t, user)
  t.match(await first.evaluate('arrivedAt'), /code=gpc_.*state=.*iss=/)
  t.equal(first.url(), `${app}/cb`, 'the response is out of the address')
  t.same(await first.evaluate('violations'), [])
  const token: string = await first.evaluate('auth.getAccessToken()')
  t.match(JSON.parse(atob(token.split('.')[1] ?? '')), {
    client_id: 'shop',
    scope: 'openid profile',
    cnf: { jkt: /./ },
  })
  const stored = await first.evaluate(
    'JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])',
  )
  t.notMatch(stored, /gpr_|gpc_|eyJ|odeVerifier/)
  const kept: Record<string, unknown> = await first.evaluate(`new Promise((resolve, reject) => {
    const opening = indexedDB.open('gatepass')
    opening.onsuccess = () => {
      const store = opening.result.transaction('gatepass').objectStore('gatepass')
      const all = store.getAll()
      all.onsuccess = () => {
        opening.result.close()
        const keys = all.result.find((one) => one.privateKey)
        const token = all.result.find((one) => typeof one === 'string')
        crypto.subtle.exportKey('jwk', keys.privateKey).then(
          () => resolve({ exported: true }),
          () => resolve({ exported: false, token }),
        )
      }
    }
  })`)
  t.match(kept, { exported: false, token: /^gpr_/ })
  // The refresh token is of no use to anybody without the key.
  for (const [path, type] of [
    ['/refresh', 'json'],
    ['/oauth/token', 'form'],
  ] as const) {
    const fields = {
      grant_type: 'refresh_token',
      client_id: 'shop',
      refresh_token: `${kept.token}`,
    }
    const stolen = await fetch(issuerUrl + path, {
      method: 'POST',
      ...(type === 'form'
        ? { body: new URLSearchParams(fields) }
        : {
            headers: { 'content-type': 'application/json' },
            body: JSON.stringify({ refresh_token: kept.token }),
          }),
    })
    t.ok(stolen.status >= 400 && stolen.status < 500, `${path}: ${stolen.status}`)
  }
  await first.reload()
  t.equal(await call(first), 200)
  t.same(await outcome(first), null)

  const other = await openApp(user)
  t.equal(await call(other), 200)
  await first.evaluate('auth.logout()')
  await holds(other, "auth.state.status === 'signed-out'")
  await first.reload()
  t.equal(await first.evaluate('auth.getAccessToken()'), null)

  await leave(first, `{ prompt: 'login', loginHint: 'ada', returnTo: '/cart' }`)
  t.equal(await first.getByLabel('User name').inputValue(), 'ada')
  await fillIn(first)
  await arrive(first)
  t.same(await outcome(first), { returnTo: '/cart' })
  await leave(first, `{ prompt: 'none' }`)
  await arrive(first)
  t.same(await outcome(first), { returnTo: `${app}/cb` }, 'renewal without a page')
  await first.evaluate('auth.logoutEverywhere()')
  await leave(first)
  await first.getByLabel('User name').waitFor()
})

t.test('five tabs that refresh at once, without locks', async (t) => {
  const user = await newUser(t)
  await user.addInitScript('delete Navigator.prototype.locks; delete globalThis.BroadcastChannel')
  const tabs = [await signIn(t, user)]
  while (tabs.length < 5) tabs.push(await openApp(user))
  for (let round = 0; round < 3; round += 1) {
    t.same(await Promise.all(tabs.map(call)), [200, 200, 200, 200, 200])
    await untilGraceEnds()
  }
  t.equal(await issuer.countOf('refresh.reused'), 0)
})

t.test('a reload in the middle of a refresh, whose answer is lost', async (t) => {
  const first = await signIn(t, await newUser(t))
  await untilTokenExpires()
  const isHeld = onNextToken('held')
  call(first).catch(() => {})
  await isHeld
  await untilGraceEnds()
  await first.reload()
  t.equal(await call(first), 200)
  t.equal(await issuer.countOf('refresh.reused'), 0)

  t.comment('the issuer does not let the client refresh any more: the user can sign in')
  await untilTokenExpires()
  const headers = { 'access-control-allow-origin': '*' }
  const refusal = { status: 400, headers, json: { error: 'unauthorized_client' } }
  await first.route(`${issuerUrl}/oauth/token`, (route) => route.fulfill(refusal))
  t.equal(await first.evaluate('auth.getAccessToken()'), null)
  t.equal(await status(first), 'signed-out')
})

for (const fate of ['answer lost', 'held'] as const) {
  t.test(`the answer to the code: ${fate}`, async (t) => {
    const user = await newUser(t)
    const page = await openApp(user)
    await leave(page, `{ returnTo: '/cart' }`)
    await page.getByLabel('User name').waitFor()
    const revoked = await issuer.countOf('session.revoked')
    const isSent = onNextToken(fate)
    await fillIn(page)
    await isSent
    // The response never comes, so the user reloads the page.
    if (fate === 'held') await page.reload()
    await until('it has signed in again by itself', async () => {
      const found = await page.evaluate('window.outcome && auth.state.status').catch(() => null)
      return found === 'signed-in'
    })
    t.same(await outcome(page), { returnTo: '/cart' })
    t.equal(await call(page), 200)
    t.equal((await issuer.countOf('session.revoked')) - revoked, 1, 'the session that nobody got')
  })
}

t.test('a response to another request, of another issuer, and a refusal', async (t) => {
  const user = await newUser(t)
  const page = await openApp(user, `/cb?code=gpc_injected&state=forged&iss=${issuerUrl}`)
  t.match(await outcome(page), { code: 'authorization_failed', message: /another request/ })
  t.equal(page.url(), `${app}/cb`)
  t.equal(await page.evaluate('auth.getAccessToken()'), null)

  holdUp = true
  await leave(page)
  await page.getByRole('button', { name: 'Cancel' }).click()
  await page.getByText('held up').waitFor()
  holdUp = false
  const response = page.url()
  const changed = new URL(response)
  changed.searchParams.set('state', 'forged')
  await page.goto(changed.href)
  t.match(await outcome(page), { message: /another request/ })
  await page.goto(response)
  t.match(await outcome(page), { code: 'authorization_failed', message: /^access_denied/ })
  await page.goto(response)
  t.match(await outcome(page), { message: /another request/ }, 'each response counts once')

  await leave(page)
  await page.getByLabel('User name').waitFor()
  const kept = new URL(page.url())
  const state = kept.searchParams.get('state') ?? ''
  await page.goto(
    `${app}/cb?${new URLSearchParams({ code: 'gpc_x', state, iss: 'https://evil.example' })}`,
  )
  t.match(await outcome(page), { message: /another issuer/ })
  t.equal(await status(page), 'unknown')
})

t.test('an ID token with the nonce of another request ends its session', async (t) => {
  const user = await newUser(t)
  const page = await openApp(user)
  await leave(page)
  await page.getByLabel('User name').waitFor()
  const changed = new URL(page.url())
  t.ok(changed.searchParams.get('nonce'))
  changed.searchParams.set('nonce', 'of-somebody-else')
  await page.goto(changed.href)
  const before = await issuer.countOf('logout')
  await fillIn(page)
  await arrive(page)
  t.match(await outcome(page), { code: 'authorization_failed', message: /ID token/ })
  t.equal(await page.evaluate('auth.getAccessToken()'), null)
  t.equal((await issuer.countOf('logout')) - before, 1)
})

t.test('renewal by prompt=none, for a client without refresh tokens', async (t) => {
  const user = await newUser(t)
  const page = await openApp(user, '/?renewing')
  await leave(page, `{ prompt: 'none' }`)
  await arrive(page)
  t.match(await outcome(page), { code: 'authorization_failed', message: /^login_required/ })
  await leave(page)
  await fillIn(page)
  await arrive(page)
  t.equal(await page.evaluate('called'), 200)
  const before = refreshes
  await untilTokenExpires()
  t.equal(await page.evaluate('auth.getAccessToken()'), null, 'the page has to renew it')
  t.equal(refreshes, before, 'there is nothing to refresh with')
  t.equal(await status(page), 'signed-out')
  await leave(page, `{ prompt: 'none' }`)
  await arrive(page)
  t.match(await outcome(page), { returnTo: `${app}/cb` })
  t.equal(await page.evaluate('called'), 200)

  const revoked = await issuer.countOf('logout')
  await until('a sign-out before the token has expired ends the session', async () => {
    await leave(page, `{ prompt: 'none' }`)
    await arrive(page)
    await page.evaluate('outcome.then(() => auth.logout())')
    return (await issuer.countOf('logout')) > revoked
  })
  t.equal(await status(page), 'signed-out')
})

t.test('a page that creates its client twice, as React does in development', async (t) => {
  const page = await openApp(await newUser(t))
  await page.evaluate('{ sessionStorage.isTwice = true }')
  const before = await issuer.countOf('session.revoked')
  await leave(page)
  await fillIn(page)
  await arrive(page)
  const returned = { returnTo: `${app}/` }
  t.same(await outcome(page), returned)
  t.same(await page.evaluate('twin.returned'), returned)
  t.equal(await call(page), 200)
  t.equal((await issuer.countOf('session.revoked')) - before, 0, 'the code is used once')
  t.equal(await page.evaluate('twin.user().then(({ username }) => username)'), 'ada')
})

t.test('back to the page that has begun the sign-in', async (t) => {
  const user = await newUser(t)
  // The message of a later page would drop this one from the cache of Chromium.
  await user.addInitScript('delete globalThis.BroadcastChannel')
  const page = await openApp(user)
  const begin = `{ window.left = auth.login().then(() => 'signed in', ({ code, message }) => code + ' ' + message); void 0 }`
  await page.evaluate(begin)
  await page.getByLabel('User name').waitFor()
  await page.goBack({ waitUntil: 'commit' })
  t.equal(await page.evaluate('left'), 'authorization_failed The user has come back.')
  // Chromium keeps no page that is left with a lock.
  await until('the lock is free', () =>
    page.evaluate('navigator.locks.query().then(({ held }) => held.length === 0)'),
  )
  await page.evaluate(begin)
  await fillIn(page)
  await arrive(page)
  await outcome(page)
  // The page may be gone before it answers.
  await page.evaluate('history.go(-2)').catch(() => {})
  const left = () => page.evaluate('window.left').catch(() => null)
  await until('the first page is back', async () => (await left()) === 'signed in')
  t.equal(await call(page), 200)
})

t.test('back to the sign-in page after a sign-in', async (t) => {
  const first = await signIn(t, await newUser(t))
  await first.evaluate('{ window.isLeft = true }')
  await first.goBack({ waitUntil: 'commit' })
  await arrive(first)
  t.match(await first.evaluate('arrivedAt'), /code=gpc_/, 'the issuer has answered once more')
  t.equal(await outcome(first), null)
  t.equal(first.url(), `${app}/cb`)
  t.equal(await call(first), 200)
})

/** Opens the sign-in page in a popup. `popped` of the page becomes the result. */
async function openPopup(page: Page, request = '{}'): Promise<Page> {
  const [popup] = await Promise.all([
    page.context().waitForEvent('page'),
    page.evaluate(`{ window.popped = openPopup(${request}); void 0 }`),
  ])
  return popup
}

t.test('a popup: the page stays as it is, and the popup closes', async (t) => {
  const user = await newUser(t)
  const page = await openApp(user)
  await page.evaluate('{ window.isSame = true }')
  const popup = await openPopup(page)
  const closed = popup.waitForEvent('close')
  await fillIn(popup)
  await closed
  t.equal(await page.evaluate('popped'), 'signed in')
  t.ok(await page.evaluate('isSame'))
  t.equal(page.url(), `${app}/`)
  t.equal(await call(page), 200)
  t.same(await page.evaluate('violations'), [])
  t.notMatch(await page.evaluate('JSON.stringify({ ...sessionStorage })'), /odeVerifier|gpc_/)
  const other = await openApp(user)
  t.equal(await call(other), 200)
  // The user is still signed in at the issuer, which therefore asks nothing.
  await page.evaluate('auth.logout()')
  await openPopup(page, `{ prompt: 'none' }`)
  t.equal(await page.evaluate('popped'), 'signed in')
})

t.test('a popup that is blocked, closed, refused, or opened again', async (t) => {
  const user = await newUser(t)
  const page = await openApp(user, '/?uninvited')
  t.match(await page.evaluate('uninvited'), 'popup_blocked')
  const closed = await openPopup(page)
  await closed.getByLabel('User name').waitFor()
  await closed.close()
  t.match(await page.evaluate('popped'), 'popup_closed')
  const refused = await openPopup(page)
  await refused.getByRole('button', { name: 'Cancel' }).click()
  t.match(await page.evaluate('popped'), /^authorization_failed access_denied/)
  t.equal(await page.evaluate('auth.getAccessToken()'), null)
  const popup = await openPopup(page)
  await popup.getByLabel('User name').waitFor()
  // A second request in the same window.
  await page.evaluate(
    `{ window.first = popped; window.popped = openPopup({ loginHint: 'ada' }); void 0 }`,
  )
  await until('the popup has the second request', () =>
    popup
      .getByLabel('User name')
      .inputValue()
      .then((name) => name === 'ada')
      .catch(() => false),
  )
  await fillIn(popup)
  t.equal(await page.evaluate('popped'), 'signed in')
  t.match(await page.evaluate('first'), 'popup_closed')
})

t.test('a popup closes if its request cannot be made', async (t) => {
  const page = await openApp(await newUser(t))
  await page.evaluate(`{ IDBFactory.prototype.open = () => { throw new Error('no storage') } }`)
  const popup = await openPopup(page)
  t.match(await page.evaluate('popped'), 'no storage')
  await until('the popup is closed', () => popup.isClosed())
})

t.test('a popup after the database was deleted, with the key and the refresh token', async (t) => {
  const first = await signIn(t, await newUser(t))
  await deleteDatabase(first)
  await until('the user is signed out', () =>
    first.evaluate<boolean>('auth.getAccessToken().then((token) => token === null)'),
  )
  await openPopup(first)
  t.equal(await first.evaluate('popped'), 'signed in')
  t.equal(await call(first), 200)
})

t.test('a popup under Cross-Origin-Opener-Policy, which separates it from the page', async (t) => {
  openerPolicy = 'same-origin'
  t.teardown(() => {
    openerPolicy = 'unsafe-none'
  })
  const page = await openApp(await newUser(t))
  // Playwright tells every page that it has the focus.
  await page.evaluate('{ document.hasFocus = () => false; void 0 }')
  await fillIn(await openPopup(page))
  t.equal(await page.evaluate('popped'), 'signed in')
  t.equal(await call(page), 200)
})

t.test('a popup whose page is gone, and a forged response for one', async (t) => {
  const user = await newUser(t)
  const page = await openApp(user)
  const popup = await openPopup(page)
  await popup.getByLabel('User name').waitFor()
  await page.close()
  await fillIn(popup)
  await holds(popup, `window.outcome && location.href.startsWith('${app}/cb')`)
  t.match(await outcome(popup), { code: 'authorization_failed', message: /another request/ })
  t.equal(popup.url(), `${app}/cb`)

  const waiting = await openApp(user)
  // The user is signed in at the issuer since, so the popup would be done at once.
  await openPopup(waiting, `{ prompt: 'login' }`)
  const forged = new URLSearchParams({ code: 'gpc_x', state: 'popup.forged', iss: issuerUrl })
  const attacked = await openApp(user, `/cb?${forged}`)
  t.match(await outcome(attacked), { message: /another request/ })
  t.equal(await waiting.evaluate('auth.getAccessToken()'), null)
})

t.test('a clock that is 7 minutes off', async (t) => {
  const user = await newUser(t)
  await user.addInitScript(`{
    const now = Date.now
    Date.now = () => now() + 7 * 60_000
  }`)
  const page = await signIn(t, user)
  await untilTokenExpires()
  await page.reload()
  t.equal(await call(page), 200)
})

t.test('a sign-out that did not reach the issuer is repeated after a reload', async (t) => {
  const user = await newUser(t)
  const first = await signIn(t, user)
  const before = await issuer.countOf('logout')
  await user.setOffline(true)
  t.equal(await first.evaluate('auth.logout().catch(({ code }) => code)'), 'issuer_unreachable')
  t.equal(await status(first), 'signed-out')
  await user.setOffline(false)
  await first.goto(app)
  await holds(first, 'window.auth')
  t.equal(await first.evaluate('auth.getAccessToken()'), null)
  await until('the issuer has heard of it', async () => (await issuer.countOf('logout')) > before)
})
