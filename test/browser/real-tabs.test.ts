import type { BrowserContext, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { password } from '../support/accounts.ts'
import { makeCertificates } from '../support/certificates.ts'
import { until } from '../support/until.ts'
import { deleteDatabase, openTab, startChromium } from './chromium.ts'
import {
  type Fate,
  frontEnd,
  passTo,
  shortLived,
  startFront,
  startIssuer,
  stayWhileCalling,
  untilGraceEnds,
  untilTokenExpires,
} from './front.ts'

/** Tabs of a real browser, and a real issuer some of whose responses get lost. */

const app = 'https://app.example.com/'
const issuerUrl = 'https://auth.example.com'

const certificates = makeCertificates(t, 'DNS:*.example.com')
const front = await startFront(t, certificates)
const issuer = await startIssuer(t, {
  GATEPASS_ISSUER: issuerUrl,
  GATEPASS_ALLOWED_ORIGINS: new URL(app).origin,
  ...shortLived,
  GATEPASS_DPOP_NONCE: 'required',
})
let fateOf: (path: string) => Fate = () => 'fine'
let refreshes = 0
front.hosts.set('app.example.com', await frontEnd(t, { issuer: issuerUrl }))
front.hosts.set('elsewhere.example.com', (_request, response) => response.end('elsewhere'))
function serveIssuer(connection: 'close' | 'keep-alive'): void {
  const count = (path: string) => {
    if (path === '/refresh') refreshes += 1
    return fateOf(path)
  }
  front.hosts.set('auth.example.com', passTo(issuer.port, count, connection))
}
serveIssuer('close')
const chromium = await startChromium(t, certificates.cert, { '*': front.port })

const status = (page: Page): Promise<string> => page.evaluate('auth.state.status')
const call = (page: Page): Promise<number> =>
  page.evaluate(`auth.fetch('${issuerUrl}/me').then((response) => response.status)`)

async function signIn(page: Page): Promise<void> {
  await page.evaluate(`auth.login({ username: 'ada', password: '${password}' })`)
}

/** Signs a user in, and opens this number of tabs. */
async function withTabs(t: Test, count: number, url = app) {
  fateOf = () => 'fine'
  const user = await chromium.user()
  t.teardown(() => user.close())
  const first = await openTab(user, url)
  await signIn(first)
  const tabs = [first]
  while (tabs.length < count) tabs.push(await openTab(user, url))
  for (const tab of tabs) t.equal(await call(tab), 200)
  return { user, tabs, first, last: tabs.at(-1) ?? first }
}

/** Withholds the response of the next refresh. Resolves when the issuer has received that refresh. */
function holdNextRefresh(): Promise<void> {
  return new Promise((resolve) => {
    fateOf = (path) => {
      if (path !== '/refresh') return 'fine'
      fateOf = () => 'fine'
      resolve()
      return 'held'
    }
  })
}

async function crash(user: BrowserContext, page: Page): Promise<void> {
  const devtools = await user.newCDPSession(page)
  const crashed = page.waitForEvent('crash')
  devtools.send('Page.crash').catch(() => {})
  await crashed
}

t.test('five tabs stay signed in while a third of all refreshes loses its response', async (t) => {
  const { tabs } = await withTabs(t, 5)
  let count = 0
  let lost = 0
  fateOf = (path) => {
    if (path !== '/refresh' || ++count % 3 !== 0) return 'fine'
    lost += 1
    return 'answer lost'
  }
  await stayWhileCalling(t, tabs, `${issuerUrl}/me`)
  t.ok(lost > 0, `${lost} of ${count} refreshes lost their response`)
  t.ok(count < 25, 'the tabs share the responses')
  t.equal(await issuer.countOf('refresh.reused'), 0)
})

t.test('a tab that crashes releases its lock', async (t) => {
  const { user, first, last } = await withTabs(t, 2)
  await untilTokenExpires()
  const isHeld = holdNextRefresh()
  call(first).catch(() => {})
  await isHeld
  // The timer that would steal the lock never fires, so only the crash can release it.
  await last.evaluate(`{
    const timeout = AbortSignal.timeout
    AbortSignal.timeout = (ms) => timeout.call(AbortSignal, ms === 5_000 ? 2 ** 31 - 1 : ms)
  }`)
  const waiting = call(last)
  await crash(user, first)
  t.equal(await waiting, 200)
})

t.test('the key of a crashed tab repeats its refresh after the grace period', async (t) => {
  const { user, first } = await withTabs(t, 1)
  await untilTokenExpires()
  const isHeld = holdNextRefresh()
  call(first).catch(() => {})
  await isHeld
  await untilGraceEnds()
  await crash(user, first)
  const next = await openTab(user, app)
  t.equal(await call(next), 200)
  t.equal(await issuer.countOf('refresh.reused'), 0)
})

t.test('a reload in the middle of a refresh', async (t) => {
  const { first } = await withTabs(t, 1)
  await untilTokenExpires()
  const isHeld = holdNextRefresh()
  call(first).catch(() => {})
  await isHeld
  await untilGraceEnds()
  await first.reload()
  t.equal(await call(first), 200)
  t.equal(await issuer.countOf('refresh.reused'), 0)
})

t.test('the other tab receives a sign-out', async (t) => {
  const { first, last } = await withTabs(t, 2)
  await first.evaluate('auth.logout()')
  await until('it is signed out', async () => (await status(last)) === 'signed-out')
  t.equal(await last.evaluate('heard.at(-1)'), 'signed-out')
  t.equal(await call(last), 401)
  await last.reload()
  t.equal(await last.evaluate('auth.user()'), null)
})

t.test('a frozen tab blocks no other tab and notices a sign-out when it wakes', async (t) => {
  const { user, first, last } = await withTabs(t, 2)
  const devtools = await user.newCDPSession(first)
  await devtools.send('Page.setWebLifecycleState', { state: 'frozen' })
  await untilTokenExpires()
  t.equal(await call(last), 200)
  await devtools.send('Page.setWebLifecycleState', { state: 'active' })
  t.equal(await call(first), 200)
  await devtools.send('Page.setWebLifecycleState', { state: 'frozen' })
  await last.evaluate('auth.logout()')
  await devtools.send('Page.setWebLifecycleState', { state: 'active' })
  await until('it is signed out', async () => (await status(first)) === 'signed-out')
})

/** Opens another site in a tab, and goes back when `meanwhile` is done. */
async function leaveAndReturn(page: Page, meanwhile: () => Promise<unknown>): Promise<void> {
  await page.evaluate('globalThis.isKept = true')
  await page.goto('https://elsewhere.example.com/')
  await meanwhile()
  await page.goBack({ waitUntil: 'commit' })
}

t.test('the client continues after the back/forward cache', async (t) => {
  const { first } = await withTabs(t, 1)
  const before = refreshes
  await leaveAndReturn(first, untilTokenExpires)
  await until('it asks whether it is still signed in', () => refreshes > before)
  t.equal(await call(first), 200)
  t.equal(await first.evaluate('isKept'), true, 'it is the page that was left')
  t.equal(await first.evaluate("heard.includes('signed-out')"), false)
})

t.test('a page in the back/forward cache notices a sign-out by another device', async (t) => {
  const { first } = await withTabs(t, 1)
  const token: string = await first.evaluate('auth.getAccessToken()')
  await leaveAndReturn(first, async () => {
    const headers = { authorization: `Bearer ${token}` }
    const answer = await fetch(`http://127.0.0.1:${issuer.port}/logout/all`, {
      method: 'POST',
      headers,
    })
    t.equal(answer.status, 204)
  })
  await until('it is signed out', async () => (await status(first)) === 'signed-out')
  t.equal(await first.evaluate('isKept'), true)
  t.equal(await first.evaluate('heard.at(-1)'), 'signed-out')
})

t.test('a page in the back/forward cache notices a sign-out in another tab', async (t) => {
  const { first, last } = await withTabs(t, 2)
  await leaveAndReturn(first, () => last.evaluate('auth.logout()'))
  // A message for a page in the cache makes the browser drop that page and load it anew.
  await until('the page is loaded', () => first.evaluate("typeof auth === 'object'"))
  t.equal(await first.evaluate('auth.user()'), null)
})

t.test('a tab uses the new key after the browser has deleted the first one', async (t) => {
  const { first, last } = await withTabs(t, 2, `${app}?dpop`)
  await deleteDatabase(first)
  await last.reload()
  t.equal(await last.evaluate('auth.user()'), null, 'the session is bound to the first key')
  await signIn(last)
  await until('the other tab has the token', async () => (await status(first)) === 'signed-in')
  t.equal(await call(first), 200)
  await untilTokenExpires()
  t.equal(await call(first), 200)
  t.equal(await call(last), 200)
})

t.test('a kept connection that breaks off in a refresh with a bound token', async (t) => {
  serveIssuer('keep-alive')
  t.teardown(() => serveIssuer('close'))
  const { first } = await withTabs(t, 1, `${app}?dpop`)
  await untilTokenExpires()
  t.equal(await call(first), 200)
  await untilTokenExpires()
  const before = refreshes
  fateOf = (path) => {
    if (path !== '/refresh') return 'fine'
    fateOf = () => 'fine'
    return 'answer lost'
  }
  t.equal(await call(first), 200)
  t.equal(await first.evaluate("heard.includes('signed-out')"), false)
  t.equal(refreshes - before, 3, 'the request, its copy by the browser, and a new proof')
})

t.test('offline and back', async (t) => {
  const { user, first } = await withTabs(t, 1)
  await user.setOffline(true)
  await untilTokenExpires()
  const failed = first.evaluate('auth.getAccessToken().catch((error) => error.code)')
  t.equal(await failed, 'issuer_unreachable')
  t.equal(await status(first), 'signed-in')
  await user.setOffline(false)
  t.equal(await call(first), 200)
})

for (const minutes of [-7, 7]) {
  t.test(`a clock that is ${minutes} minutes off, with tokens bound to a key`, async (t) => {
    const user = await chromium.user()
    t.teardown(() => user.close())
    await user.addInitScript(`{
      const now = Date.now
      Date.now = () => now() + ${minutes} * 60_000
    }`)
    const page = await openTab(user, `${app}?dpop`)
    await signIn(page)
    t.equal(await call(page), 200)
    await untilTokenExpires()
    t.equal(await call(page), 200)
    await page.reload()
    t.equal(await call(page), 200, 'the key is still there')
    const token: string = await page.evaluate('auth.getAccessToken()')
    t.type(JSON.parse(atob(token.split('.')[1] ?? '')).cnf.jkt, 'string')
  })
}
