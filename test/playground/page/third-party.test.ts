import type { BrowserContext, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { fillIn } from '../../browser/front.ts'
import { isReadable, looks, lowTargets } from '../../browser/looks.ts'
import { focusOf, read, startPlayground, textOf } from './playground.ts'

/** The third-party application: sign-in, consent, calls, sign-out, and the withdrawal of the consent. */

const playground = await startPlayground(t)
const { port } = new URL(playground.url)
const origin = `http://127.0.0.1:${Number(port) + 300}`

async function openApplication(user: BrowserContext): Promise<Page> {
  const page = await user.newPage()
  await page.goto(`${origin}/`)
  await page.locator('#sign-in').waitFor()
  return page
}

const { password } = playground
const signIn = (page: Page) => fillIn(page, { username: 'demo', password })

/** Answers the consent page of the issuer. */
async function answer(page: Page, name: 'Allow' | 'Do not allow'): Promise<void> {
  await page.getByRole('heading', { name: 'Allow Photo Prints to use your account?' }).waitFor()
  await page.getByRole('button', { name, exact: true }).click()
}

async function letIn(page: Page): Promise<void> {
  await page.locator('#sign-in').click()
  await signIn(page)
  await answer(page, 'Allow')
  await page.locator('#dashboard').waitFor()
}

t.test('sign in with consent, call an API, sign out; then no password is asked', async (t) => {
  const user = await playground.user(t, { locale: 'en-GB' })
  const page = await openApplication(user)
  // The user stops the browser on the way to the issuer.
  await page.route('**/oauth/authorize?*', (route) => route.abort('aborted'), { times: 1 })
  const stopped = page.waitForEvent('requestfailed')
  await page.locator('#sign-in').press('Enter')
  await stopped
  await page.locator('#sign-in').press('Enter')
  await page.waitForURL(`${playground.url}/oauth/authorize?**`)
  await signIn(page)
  await answer(page, 'Allow')
  await textOf(page, '#user-name', /Demo User/)
  t.equal(page.url(), `${origin}/`)
  t.match(await read(page, '#given'), /scope\s*openid profile\s*name\s*Demo User/)
  t.notMatch(await read(page, '#given'), /example\.com|customer/)
  await page.locator('#call-allowed').click()
  t.match(await textOf(page, '#answers li'), 'GET /whoami200 accepted')
  await page.locator('#call-refused').click()
  t.match(await textOf(page, '#answers .bad'), '403 scope_insufficient')

  // A server in front of the issuer refuses the refresh.
  const refused = { status: 403, headers: { 'access-control-allow-origin': '*' } }
  await page.route('**/oauth/token', (route) => route.fulfill(refused))
  await page.reload()
  t.match(await textOf(page, '#refusal'), 'The issuer is not responding')
  await page.unroute('**/oauth/token')
  // The issuer stops after the refresh.
  await page.route('**/oauth/userinfo', (route) => route.abort('aborted'))
  await page.reload()
  t.match(await textOf(page, '#given'), /sub\s*unknown/)
  await page.unroute('**/oauth/userinfo')

  await page.reload()
  await textOf(page, '#user-name', /Demo User/)
  await page.locator('#sign-out').press('Enter')
  await page.locator('#sign-in').waitFor()
  t.equal(await focusOf(page), 'welcome-title')
  await page.locator('#sign-in').click()
  await answer(page, 'Allow')
  await textOf(page, '#user-name', /Demo User/)
  t.match(playground.log, '"event":"consent.granted"')
})

t.test('a user who refuses is not signed in', async (t) => {
  const user = await playground.user(t, { locale: 'en-GB' })
  const page = await openApplication(user)
  // The user may have given consent in the first test.
  await withdrawAll(t)
  await page.locator('#sign-in').click()
  await signIn(page)
  await answer(page, 'Do not allow')
  t.match(await textOf(page, '#refusal'), 'You have not allowed Photo Prints to use your account.')
  t.equal(page.url(), `${origin}/`)
})

t.test('a page that may store nothing says so', async (t) => {
  const user = await playground.user(t)
  await user.addInitScript(
    `IDBFactory.prototype.open = () => { throw new DOMException('Denied.', 'SecurityError') }`,
  )
  t.equal(await textOf(await openApplication(user), '#refusal'), 'Denied.')
})

t.test('a popup, which the user closes, and then signs in by', async (t) => {
  const user = await playground.user(t, { locale: 'en-GB' })
  const page = await openApplication(user)
  const popUp = async () => {
    const [popup] = await Promise.all([
      user.waitForEvent('page'),
      page.locator('#sign-in-popup').click(),
    ])
    await popup.getByLabel('User name').waitFor()
    return popup
  }
  await (await popUp()).close()
  t.match(await textOf(page, '#refusal'), 'popup_closed')
  const popup = await popUp()
  const closed = popup.waitForEvent('close')
  await signIn(popup)
  await Promise.race([closed, answer(popup, 'Allow').catch(() => {})])
  await closed
  await textOf(page, '#user-name', /Demo User/)
  t.equal(await focusOf(page), 'dashboard-title', 'the focus is not lost')
  t.equal(page.url(), `${origin}/`)
})

t.test('the playground shows the consent, and withdraws it', async (t) => {
  const page = await playground.openSignedIn(t, { locale: 'en-GB' })
  await withdrawAll(t)
  const [application] = await Promise.all([
    page.context().waitForEvent('page'),
    page.getByRole('link', { name: 'Open Photo Prints' }).click(),
  ])
  await letIn(application)
  t.match(await textOf(page, '#consents li'), /Photo Prints.*openid profile/)
  await textOf(page, '#events', /consent\.granted/)
  await page.getByRole('button', { name: 'Withdraw: Photo Prints' }).press('Enter')
  t.match(await textOf(page, '#notices'), /Photo Prints is signed out/)
  await page.locator('#no-consents').waitFor()
  t.equal(await focusOf(page), 'consents')
  await textOf(page, '#events', /consent\.withdrawn/)
  // The verifier learns of it within a second; then the client finds that the session is over.
  await application.bringToFront()
  while (await application.locator('#dashboard').isVisible()) {
    await application
      .locator('#call-allowed')
      .click({ timeout: 1_000 })
      .catch(() => {})
  }
  await application.locator('#sign-in').click()
  await answer(application, 'Allow')
  await application.locator('#dashboard').waitFor()
})

/** Withdraws the consent in the playground, if there is one. */
async function withdrawAll(t: Test): Promise<void> {
  const page = await playground.openSignedIn(t)
  const shown = page.locator('#consents button, #no-consents:visible').first()
  await shown.waitFor()
  if (await page.locator('#consents button').isVisible()) {
    await page.locator('#consents button').click()
    await page.locator('#no-consents').waitFor()
  }
  await page.close()
}

t.test('the page is for one origin, and reads no other files', async (t) => {
  const get = (url: string, init: RequestInit = {}) => fetch(url, { redirect: 'manual', ...init })
  const renamed = await get(`${origin.replace('127.0.0.1', 'localhost')}/`)
  t.equal(renamed.headers.get('location'), `${origin}/`)
  t.equal((await get(origin, { method: 'POST' })).status, 405)
  for (const path of ['/files/playground/guard.ts', '/files/../package.json', '/x', '//', '/%']) {
    t.equal((await get(origin + path)).status, 404, path)
  }
})

for (const [look, options] of Object.entries(looks)) {
  t.test(`${look}: everybody can read it`, async (t) => {
    const user = await playground.user(t, { locale: 'en-GB', bypassCSP: true, ...options })
    const page = await openApplication(user)
    await isReadable(t, page, 'welcome')
    if (options.isMobile) t.same(await lowTargets(page), [])
    await page.locator('#sign-in').click()
    await signIn(page)
    await page.locator('#dashboard, button[value=allow]').first().waitFor()
    if (await page.locator('button[value=allow]').isVisible()) await answer(page, 'Allow')
    await textOf(page, '#user-name')
    await page.locator('#call-allowed').click()
    await page.locator('#call-refused').click()
    await page.locator('#answers .bad').waitFor()
    await isReadable(t, page, 'signed in')
    // A link in a sentence is as high as its line.
    if (options.isMobile) t.same(await lowTargets(page), ['the playground'])
    await page.setViewportSize({ width: 320, height: 640 })
    await isReadable(t, page, 'signed in, in a narrow window')
    await page.locator('#sign-out').click()
    await page.locator('#sign-in').waitFor()
  })
}

t.test('the browser reports no error', async (t) => {
  // Chromium says so of each refused call, and of the refresh after a withdrawal.
  const refused = /^Failed to load resource: .* 40[03] /
  t.same(
    playground.complaints.filter((text) => !refused.test(text)),
    [],
  )
})
