import type { Page } from 'playwright-core'
import t from 'tap'
import { until } from '../../support/until.ts'
import { focusOf, read, startPlayground, textOf } from './playground.ts'

/** Each control of the page, by mouse or keyboard, and its scenarios, in front of real replicas. */

const playground = await startPlayground(t)

/** Whether a replica has answered again since. */
async function answersMore(page: Page, replica: string): Promise<void> {
  const total = async () => Number(await read(page, `[data-name="${replica}"] .total`))
  const before = await total()
  await until(`${replica} answers`, async () => (await total()) > before)
}

t.test('sign-in by keyboard: a wrong password, the right one, sign-out', async (t) => {
  const page = await (await playground.user(t)).newPage()
  await page.goto(playground.url)
  const username = page.locator('#username')
  await until('the name is filled in', async () => (await username.inputValue()) === 'demo')
  await username.fill('')
  await (await page.waitForResponse('**/playground/state?*')).finished()
  t.equal(await username.inputValue(), '', 'a cleared name stays empty')
  await username.fill('demo')
  // The form is shown once it is known that nobody is signed in, which may be later.
  t.match(await textOf(page, '#where-password'), /Your terminal shows the password/)
  await page.locator('#password').focus()
  await page.keyboard.type('not the one')
  await page.keyboard.press('Enter')
  t.match(await textOf(page, '#sign-in-error'), /password/)
  t.equal(await focusOf(page), 'password')
  t.equal(await page.locator('#password').getAttribute('aria-invalid'), 'true')
  await page.keyboard.press('ControlOrMeta+a')
  await page.keyboard.type(playground.password)
  await page.keyboard.press('Enter')
  t.equal(await textOf(page, '#user-name'), 'demo')
  await page.locator('#sign-out').press('Enter')
  t.match(await textOf(page, '#farewell'), /You have signed out/)
  t.equal(await focusOf(page), 'welcome-title')
})

t.test('the link in the terminal fills in the password once', async (t) => {
  const page = await playground.open(t)
  t.equal(page.url(), `${playground.url}/`)
  t.equal(await page.locator('#password').inputValue(), playground.password)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.locator('#dashboard').waitFor()
  await page.reload()
  await page.locator('#dashboard').waitFor()
  t.equal(await textOf(page, '#user-name'), 'demo', 'a reload changes nothing')
})

t.test('the link in the terminal also works in a tab that shows the page already', async (t) => {
  const page = await (await playground.user(t)).newPage()
  await page.goto(`${playground.url}/`)
  await page.locator('#welcome').waitFor()
  t.equal(await page.locator('#password').inputValue(), '')
  await page.goto(`${playground.url}/#password=${playground.password}`)
  await until('the address has no password', () => page.url() === `${playground.url}/`)
  await page.locator('#welcome').waitFor()
  t.equal(await page.locator('#password').inputValue(), playground.password)
})

t.test('the access token is decoded, expires visibly and can be copied', async (t) => {
  const page = await playground.openSignedIn(t)
  const left = await textOf(page, '#token-left', /\d+ s/)
  await until('it runs down', async () => (await read(page, '#token-left')) !== left)
  t.match(await read(page, '#token-claims'), /iss issuer\s*http:\/\/localhost/)
  t.match(await read(page, '#token-header'), /alg algorithm\s*ES256/)
  const token = await read(page, '#token-text')
  await page.locator('#copy-token').click()
  await textOf(page, '#notices', /Copied/)
  t.equal(await page.evaluate('navigator.clipboard.readText()'), token)
  await page.locator('summary').press('Enter')
  t.equal(await page.locator('#token-claims').isVisible(), false)
  t.equal(await read(page, '#generation'), '0')
  await textOf(page, '#grace', /grace period is over/)
  await page.locator('#refresh-now').press('Space')
  await textOf(page, '#generation', /^1$/)
  t.equal(await read(page, '#generations .current'), 'generation 1')
  t.not(await read(page, '#token-text'), token)
  await page.getByRole('button', { name: 'Sign out this device' }).click()
  t.match(await textOf(page, '#farewell'), /You have signed out/)
})

t.test('the cart is the same at every replica and after a reload', async (t) => {
  const page = await playground.openSignedIn(t)
  await page.getByRole('button', { name: 'Add to the cart: Linen shirt' }).click()
  await textOf(page, '#cart', /1 ×\s*Linen shirt/)
  await page.getByRole('button', { name: 'Add to the cart: Linen shirt' }).press('Enter')
  await page.getByRole('button', { name: 'Add to the cart: Felt hat' }).click()
  await textOf(page, '#cart', /2 ×\s*Linen shirt.*1 ×\s*Felt hat/)
  const answered = new Set<string>()
  while (answered.size < 2) {
    const before = await read(page, '#cart-replica')
    await page.locator('#reload-cart').click()
    await until('another one answers', async () => (await read(page, '#cart-replica')) !== before)
    answered.add(await read(page, '#cart-replica'))
    t.match(await read(page, '#cart'), /2 ×\s*Linen shirt/)
  }
  await page.getByRole('button', { name: 'Remove Linen shirt' }).click()
  // The role announces the change to users of a screen reader (WCAG 4.1.3).
  await page.getByRole('status').filter({ hasText: '€45.00' }).waitFor()
  t.equal(await focusOf(page), 'cart', 'the focus is not lost')
  await page.reload()
  await textOf(page, '#cart', /^1 ×\s*Felt hat/)
})

t.test('the cart loads until another replica responds', async (t) => {
  const page = await playground.openSignedIn(t)
  const first = (await textOf(page, '#cart-replica', /shop-\d/)).replace('response from ', '')
  let left = 12
  await page.route('**/playground/shop/cart', async (route) => {
    const headers = { ...route.request().headers(), 'sec-fetch-site': 'same-origin' }
    const response = await route.fetch({ headers })
    const replica = left-- > 0 ? first : 'shop-9'
    await route.fulfill({ response, headers: { ...response.headers(), 'x-replica': replica } })
  })
  await page.locator('#reload-cart').click()
  await textOf(page, '#cart-replica', /shop-9/)
  await page.unrouteAll({ behavior: 'ignoreErrors' })
})

t.test('no request fails while replicas are stopped and added', async (t) => {
  const page = await playground.openSignedIn(t)
  await page.locator('input[value="10"]').focus()
  await page.keyboard.press('ArrowRight')
  await answersMore(page, 'verifier-2')
  await page.getByRole('button', { name: 'Stop verifier-2' }).click()
  await page.locator('[data-name="verifier-2"][data-state="stopped"]').waitFor()
  t.equal(await focusOf(page), 'replicas')
  await page.getByRole('button', { name: 'Stop shop-1' }).press('Enter')
  await page.locator('[data-name="shop-1"][data-state="stopped"]').waitFor()
  await page.locator('#add-verifier').click()
  await textOf(page, '#notices', /verifier-3 has started/)
  await page.locator('#add-shop').press('Enter')
  await textOf(page, '#notices', /shop-3 has started/)
  for (const name of ['verifier-1', 'verifier-3', 'shop-2', 'shop-3']) await answersMore(page, name)
  t.equal(await read(page, '#failures'), '0')
  const marks = page.locator('#responses [title]')
  t.match(
    await marks.last().getAttribute('title'),
    /^GET \/(verify|cart): 200 from \w+-\d, \d+ ms$/,
  )
  t.equal(await page.locator('#responses .fill-failure').count(), 0)
  t.ok((await page.locator('#requests-chart path').count()) >= 5, 'a colour for each replica')
  await page.getByText('Off', { exact: true }).click()
  await until('nothing is sent any more', async () => {
    const before = await page.locator('#responses').innerHTML()
    await page.waitForTimeout(400)
    return (await page.locator('#responses').innerHTML()) === before
  })
})

t.test('devices: another device signs in and is signed out; then all devices', async (t) => {
  const page = await playground.openSignedIn(t)
  await page.locator('#sign-out-everywhere').waitFor()
  const count = Number(await textOf(page, '#device-count', /[1-9]/))
  await page.reload()
  await page.locator('#dashboard').waitFor()
  const dialog = page.getByRole('dialog')
  await page.locator('#add-device').press('Enter')
  await dialog.waitFor()
  await page.keyboard.press('Escape')
  await dialog.waitFor({ state: 'hidden' })
  await page.locator('#add-device').click()
  await dialog.getByRole('button', { name: 'Cancel' }).click()
  t.equal(await read(page, '#device-count'), String(count), 'nobody has signed in')
  await page.locator('#add-device').click()
  await page.keyboard.type(playground.password)
  await page.keyboard.press('Enter')
  await textOf(page, '#device-count', new RegExp(`^${count + 1}$`))
  await page.locator('#devices li:not(:has(.badge)) button').first().click()
  await textOf(page, '#device-count', new RegExp(`^${count}$`))
  t.equal(await read(page, '#devices .badge'), 'this device')

  const [tab] = await Promise.all([
    page.context().waitForEvent('page'),
    page.getByRole('link', { name: 'Open another tab' }).click(),
  ])
  await tab.locator('#dashboard').waitFor()
  await page.locator('#sign-out-everywhere').click()
  await textOf(page, '#farewell', /You have signed out/)
  await textOf(tab, '#farewell', /from another tab or device/)
})

t.test('a list that changes keeps the focus', async (t) => {
  const page = await playground.openSignedIn(t)
  await page.getByRole('button', { name: 'Sign out this device' }).focus()
  const isFocused = () =>
    page.evaluate(`document.activeElement.ariaLabel === 'Sign out this device'`)
  const user = await playground.user(t)
  const shown = await read(page, '#devices')
  const body = { username: 'demo', password: playground.password }
  const signedIn = await user.request.post(`${playground.url}/login`, { data: body })
  t.equal(signedIn.status(), 200)
  await until('the device is in the list', async () => (await read(page, '#devices')) !== shown)
  t.ok(await isFocused(), 'when another device signs in')
  await textOf(page, '#grace', /grace period is over/)
  await page.evaluate(`document.querySelector('#refresh-now').click()`)
  await textOf(page, '#generation', /^1$/)
  t.ok(await isFocused(), 'when this device has refreshed')
})

t.test('the second device belongs to the user who is signed in', async (t) => {
  const password = 'a password that only ada knows'
  await playground.addUser('ada', password)
  const page = await (await playground.user(t)).newPage()
  await page.goto(`${playground.url}/`)
  await page.locator('#username').fill('ada')
  await page.locator('#password').fill(password)
  await page.keyboard.press('Enter')
  await textOf(page, '#device-count', /^1$/)
  await page.locator('#add-device').click()
  await textOf(page, '#device-count', /^2$/)
  await page.locator('#shelf button').first().click()
  await page.locator('#cart li').waitFor()

  // Another page of this site signs in another user.
  const body = JSON.stringify({ username: 'demo', password: playground.password })
  await page.evaluate(`fetch('login', {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: ${JSON.stringify(body)}
  })`)
  await page.locator('#refresh-now').click()
  await textOf(page, '#user-name', /^demo$/)
  await page.locator('#cart-empty').waitFor()
})

/** Runs a scenario to its end. @returns the texts of its steps */
async function run(page: Page, scenario: string): Promise<readonly string[]> {
  await page.locator(`#run-${scenario}`).press('Enter')
  await page.locator(`#${scenario}-steps[data-result]`).waitFor()
  return page.locator(`#${scenario}-steps li`).allTextContents()
}

const result = (page: Page, scenario: string) =>
  page.locator(`#${scenario}-steps`).getAttribute('data-result')

t.test('a stolen refresh token is detected, and every replica refuses the session', async (t) => {
  const page = await playground.openSignedIn(t)
  const steps = (await run(page, 'theft')).join('\n')
  t.match(steps, /has generation 2 now/)
  t.match(steps, /Waiting until the grace period ends/)
  t.match(steps, /Refused with refresh_token_reused/)
  t.match(steps, /Waiting until every replica has received the revocation/)
  t.match(steps, /After \d+ ms every replica refuses the access token/)
  t.equal(await result(page, 'theft'), 'good')
  await textOf(page, '#events', /refresh\.reused/)
  t.equal(await read(page, '#user-name'), 'demo', 'it was the session of another device')
})

t.test('five refreshes at once with one cookie have one successor', async (t) => {
  const page = await playground.openSignedIn(t)
  const steps = (await run(page, 'tabs')).join('\n')
  t.match(steps, /5 of 5 received tokens/)
  t.match(steps, /The issuer logged 1 rotated and 4 replayed/)
  t.match(steps, /same successor of generation 0: 1/)
  t.match(steps, /Five tabs sent 1 request\./)
  t.equal(await result(page, 'tabs'), 'good')
  // On a slow machine the page has refreshed again.
  await textOf(page, '#generation', /^[1-9]\d*$/)
  t.match(await textOf(page, '#replays', /^[4-9]$/), /\d/)
})

t.test('a new key is published, then signs, and no request fails', async (t) => {
  const page = await playground.openSignedIn(t)
  const before = await read(page, '#key-of-token')
  // Another window does the same at the same time.
  await page.evaluate(`{
    const rotate = () => fetch('playground/keys/rotate', { method: 'POST' })
    document.querySelector('#run-keys').addEventListener('click', rotate)
  }`)
  await run(page, 'keys')
  t.equal(await result(page, 'keys'), 'good')
  await textOf(page, '#keys', /active.*/)
  t.not(await textOf(page, '#key-of-token'), before)
  t.equal(await read(page, '#failures'), '0')
})

t.test('every tab notices a sign-out by another device', async (t) => {
  const page = await playground.openSignedIn(t)
  const other = await page.context().newPage()
  await other.goto(playground.url)
  await other.locator('#dashboard').waitFor()
  // The client does not replace a token that is younger than a second.
  await page.bringToFront()
  await page.locator('#refresh-now').click()
  await page.locator('#run-elsewhere').click()
  t.match(await textOf(page, '#farewell'), /another tab or device.* after \d+ ms/)
  t.match(await textOf(other, '#farewell'), /another tab or device/)
  t.equal(await other.locator('#dashboard').isVisible(), false)
  t.equal(await page.locator('#responses .fill-failure').count(), 0)
})

t.test('without the password there is no second device', async (t) => {
  const page = await playground.openSignedIn(t)
  await page.reload()
  await page.locator('#dashboard').waitFor()
  await page.locator('#run-theft').press('Enter')
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click()
  await textOf(page, '#theft-steps', /Without the password/)
  const enter = async (password: string) => {
    await page.locator('#run-elsewhere').click()
    await page.getByRole('dialog').waitFor()
    await page.keyboard.type(password)
    await page.keyboard.press('Enter')
  }
  await enter('not the one')
  await textOf(page, '#elsewhere-steps', /password is wrong/)
  await page.locator('#add-device').click()
  await page.getByRole('dialog').waitFor()
  const tab = await page.context().newPage()
  await tab.goto(playground.url)
  await tab.locator('#sign-out').click()
  await textOf(page, '#farewell', /another tab or device/)
  t.equal(await page.getByRole('dialog').count(), 0, 'nobody is asked after a sign-out')
  await page.locator('#password').fill(playground.password)
  await page.locator('#password').press('Enter')
  await page.locator('#dashboard').waitFor()
  await page.reload()
  await page.locator('#dashboard').waitFor()
  await enter(playground.password)
  t.match(await textOf(page, '#farewell'), /another tab or device/, 'a wrong password is forgotten')
})

t.test('the browser reports no error', async (t) => {
  t.same(playground.complaints, [])
})

// Requests fail in this one, of which the browser complains.
t.test('after the last replica of a kind stopped, the page warns and starts one', async (t) => {
  const page = await playground.openSignedIn(t)
  const ready = (kind: string) => page.locator(`[data-kind="${kind}"][data-state="ready"]`)
  const stopAll = async (kind: string) => {
    for (let left = await ready(kind).count(); left > 0; left--) {
      const name = (await ready(kind).first().getAttribute('data-name')) ?? ''
      await page.getByRole('button', { name: `Stop ${name}` }).click()
      const told = await textOf(page, '#notices', new RegExp(`${name} was killed`))
      const words =
        left > 1 ? 'Requests go to the other replicas.' : `It was the last ${kind}: start one.`
      t.match(told, `${name} was killed. ${words}`)
      if (left > 1) t.equal(await read(page, '#no-replica'), '')
      else await textOf(page, '#no-replica', new RegExp(`No ${kind} is running`))
      const row = page.locator(`[data-name="${name}"][data-state="ready"]`)
      await row.waitFor({ state: 'detached', timeout: 60_000 })
    }
  }
  await ready('verifier').nth(1).waitFor()
  await stopAll('verifier')
  await until('failures are counted', async () => (await read(page, '#failures')) !== '0')
  await page.getByRole('button', { name: 'Start a verifier' }).click()
  await until('the offer is gone', async () => (await read(page, '#no-replica')) === '')
  t.equal(await focusOf(page), 'replicas')
  await ready('verifier').waitFor()
  await answersMore(page, (await ready('verifier').getAttribute('data-name')) ?? '')
  for (const kind of ['shop', 'verifier']) await stopAll(kind)
  await textOf(page, '#no-replica', /No verifier is running.*No shop is running/)
  await page.reload()
  await textOf(page, '#no-replica', /No verifier is running/)
})
