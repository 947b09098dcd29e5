import { join } from 'node:path'
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { illegibleTexts, isReadable, looks, lowTargets, overhang } from '../../browser/looks.ts'
import { projectFolder } from '../../support/project.ts'
import { read, startPlayground, textOf } from './playground.ts'

/** That everybody can use the page: in both themes, on a phone, by keyboard, with a screen reader. */

const playground = await startPlayground(t)

/** Nothing that axe finds is serious or critical. */
const isFine = (t: Test, page: Page, where: string) =>
  isReadable(t, page, where, ['serious', 'critical'])

for (const [look, options] of Object.entries(looks)) {
  t.test(`${look}: everybody can read it`, async (t) => {
    const page = await playground.open(t, options)
    await page.locator('#password').fill('not the one')
    await page.getByRole('button', { name: 'Sign in' }).click()
    await textOf(page, '#sign-in-error')
    await isFine(t, page, 'the form')
    if (options.isMobile) t.same(await lowTargets(page), [])
    await page.locator('#password').fill(playground.password)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.locator('#shelf button').first().click()
    await page.locator('#cart li').waitFor()
    await page.locator('#run-elsewhere').waitFor()
    await page.locator('#run-tabs').click()
    await page.locator('#tabs-steps .good').first().waitFor()
    await page.locator('#add-device').click()
    await textOf(page, '#notices')
    await isFine(t, page, 'the dashboard')
    await page.emulateMedia({ forcedColors: 'active' })
    t.same(await page.evaluate(invisible), [], 'with forced colors')
    await page.emulateMedia({ forcedColors: 'none' })
    if (options.isMobile) t.same(await lowTargets(page), [])
    await page.setViewportSize({ width: 320, height: 700 })
    t.equal(await overhang(page), 0, 'the narrowest window there is, or a big one at 400 %')
    t.same(await illegibleTexts(page), [])
    await page.reload()
    await page.locator('#dashboard').waitFor()
    // The lists of a new page fill up, and a button that moves between press and release is not clicked.
    await page.locator('#add-device').press('Enter')
    await page.getByRole('dialog').waitFor()
    await isFine(t, page, 'the dialog')
    if (options.isMobile) t.same(await lowTargets(page), [])
  })
}

/** The text spacing that a user may set (WCAG 1.4.12). */
const wideText = `{
  const style = new CSSStyleSheet()
  style.replaceSync('* { letter-spacing: 0.12em !important; word-spacing: 0.16em !important }')
  document.adoptedStyleSheets = [style]
}`

t.test('no text is cut off, however long a name is', async (t) => {
  const [name, own] = ['w'.repeat(254), 'correct horse battery staple']
  await playground.addUser(name, own)
  const page = await playground.open(t)
  const consent = { client_id: 'x', client_name: 'W'.repeat(64), scope: 's'.repeat(100) }
  await page.route('**/consents', (route) => route.fulfill({ json: { consents: [consent] } }))
  await page.locator('#username').fill(name)
  await page.locator('#password').fill(own)
  await page.locator('#password').press('Enter')
  await textOf(page, '#user-name')
  await textOf(page, '#consents')
  await textOf(page, '#replicas', /shop-2/)
  for (const width of [1280, 640, 320, 320]) {
    await page.setViewportSize({ width, height: 700 })
    t.equal(await overhang(page), 0, `${width}`)
    t.same(await illegibleTexts(page), [], `${width}`)
    if (width === 320) await page.evaluate(wideText)
  }
})

/** The elements that show something by their background, if it cannot be seen. */
const invisible = `(() => {
  const backgroundOf = (one, part) => getComputedStyle(one, part).backgroundColor
  const card = backgroundOf(document.querySelector('.card'))
  return ['.rates :checked + span', '.swatch', '.share', '.responses span:last-child', '#token-life']
    .filter((one) => {
      const part = one === '#token-life' ? '::after' : null
      const color = backgroundOf(document.querySelector(one), part)
      return color === card || color === 'rgba(0, 0, 0, 0)'
    })
})()`

/** Where the keyboard goes: by its name, and whether one sees where it is. */
const focused = `(() => {
  const here = document.activeElement
  const shown = here.type === 'radio' ? here.nextElementSibling : here
  const name = here.getAttribute('aria-label') ?? (here.labels?.[0] ?? here).textContent
  return { name: name.trim(), isSeen: getComputedStyle(shown).outlineStyle !== 'none' }
})()`

/** The controls of the page. A test presses each of them, so a new control needs a test. */
const controls = [
  ...['Skip to the content', 'Sign out', 'Sign out everywhere', 'Theme: system'],
  ...['Stop verifier-1', 'Stop verifier-2', 'Stop shop-1', 'Stop shop-2'],
  ...['Add a verifier', 'Add a shop', '10/s', 'Header and claims', 'Refresh now', 'Copy'],
  ...['Sign out this device', 'Sign in as another device', 'Open another tab'],
  ...['Linen shirt €59.00', 'Wool trousers €89.00', 'Merino jumper €79.50', 'Rain coat €149.00']
    .concat('Walking socks €12.90', 'Felt hat €45.00')
    .map((name) => `Add to the cart: ${name}`),
  ...['Load from another replica', 'Replay a stolen token', 'Refresh in five tabs'],
  ...['Rotate the keys', 'Sign this browser out', 'Open Photo Prints'],
]

t.test('the keyboard reaches each control with a visible focus', async (t) => {
  const page = await playground.openSignedIn(t)
  await page.locator('#sign-out-everywhere').click()
  await page.locator('#welcome').waitFor()
  await page.locator('#password').press('Enter')
  for (const name of ['verifier-1', 'verifier-2', 'shop-1', 'shop-2']) {
    await page.getByRole('button', { name: `Stop ${name}` }).waitFor()
  }
  await textOf(page, '#device-count', /^1$/)
  await page.reload()
  await page.locator('#shelf button').first().waitFor()
  await page.locator('#devices button').waitFor()
  const found: string[] = []
  for (const _ of controls) {
    await page.keyboard.press('Tab')
    const { name, isSeen }: { name: string; isSeen: boolean } = await page.evaluate(focused)
    t.ok(isSeen, name)
    found.push(name)
  }
  // Shops start at once: which of them is first is a matter of luck.
  t.same(found.toSorted(), controls.toSorted())
  const places: readonly string[] = await page.evaluate(
    `[...document.querySelectorAll('a, button, summary, input')]
      .filter((one) => one.checkVisibility() && (one.type !== 'radio' || one.checked))
      .map((one) => one.getAttribute('aria-label') ?? (one.labels?.[0] ?? one).textContent.trim())`,
  )
  t.same(places, found, 'in the order of the page, and to all there is')
  await page.locator('.skip').press('Enter')
  await page.keyboard.press('Tab')
  t.match(await page.evaluate(focused), { name: /^Stop / })
})

t.test('the browser keeps the chosen theme', async (t) => {
  const page = await playground.open(t, { colorScheme: 'dark' })
  const background = () => page.evaluate('getComputedStyle(document.body).backgroundColor')
  const theme = page.locator('#theme')
  const dark = await background()
  t.equal(await theme.getAttribute('aria-label'), 'Theme: system')
  await theme.press('Enter')
  t.equal(await theme.getAttribute('aria-label'), 'Theme: light')
  const light = await background()
  t.not(light, dark)
  await page.reload()
  await textOf(page, '#welcome')
  t.equal(await background(), light)
  await theme.press('Enter')
  t.equal(await background(), dark)
  await page.emulateMedia({ colorScheme: 'light' })
  t.equal(await background(), dark, 'whatever the system says')
})

t.test('a browser without JavaScript, and one that lets the page store nothing', async (t) => {
  const plain = await (await playground.user(t, { javaScriptEnabled: false })).newPage()
  await plain.goto(playground.url)
  await plain.locator('noscript .card').waitFor()
  const user = await playground.user(t)
  await user.addInitScript(`Object.defineProperty(globalThis, 'localStorage', {
    get() { throw new DOMException('Access is denied for this document.', 'SecurityError') },
  })`)
  const page = await user.newPage()
  await page.goto(playground.url)
  await page.locator('#welcome').waitFor()
  await page.locator('#theme').press('Enter')
  t.equal(await page.locator('#theme').getAttribute('aria-label'), 'Theme: light')
})

t.test('with reduced motion nothing moves', async (t) => {
  const moving = (page: Page): Promise<number> =>
    page.evaluate(`[...document.querySelectorAll('*')].filter((one) => {
      const { animationName, transitionDuration } = getComputedStyle(one)
      return animationName !== 'none' || transitionDuration !== '0s'
    }).length`)
  for (const reducedMotion of ['reduce', 'no-preference'] as const) {
    const page = await playground.openSignedIn(t, { reducedMotion })
    await page.locator('#add-device').click()
    await textOf(page, '#notices')
    t.equal((await moving(page)) === 0, reducedMotion === 'reduce', reducedMotion)
  }
})

t.test('the page shows that the issuer is unavailable', async (t) => {
  const page = await playground.openSignedIn(t)
  await page.context().setOffline(true)
  await textOf(page, '.connection-lost', /is not responding/)
  await page.locator('#sign-out-everywhere').click()
  await textOf(page, '#notices', /The issuer is not responding/)
  await page.context().setOffline(false)
  await page.locator('.connection-lost').waitFor({ state: 'hidden' })
  // An issuer that is stopped, and continues.
  await page.evaluate(`{
    const timeout = AbortSignal.timeout
    AbortSignal.timeout = (ms) => timeout.call(AbortSignal, ms === 5_000 ? 100 : ms)
  }`)
  await page.route('**/playground/state*', () => {})
  await textOf(page, '.connection-lost', /is not responding/)
  await page.unroute('**/playground/state*')
  await page.locator('.connection-lost').waitFor({ state: 'hidden' })
  t.equal(await read(page, '#user-name'), 'demo')
  // It cannot refresh when the page is loaded, and can later.
  await page.route('**/refresh', (route) => route.abort('internetdisconnected'))
  await page.reload()
  await page.locator('#welcome').waitFor()
  await page.unroute('**/refresh')
  await page.locator('#dashboard').waitFor()
})

/** Redraws the pictures: `PICTURES=1 npx tap --timeout=300 test/playground/page/appearance.test.ts`. */
const pictures = { skip: process.env.PICTURES === undefined && 'only by PICTURES=1' }
const maxPictureBytes = 220_000

for (const colorScheme of ['light', 'dark'] as const) {
  t.test(`the picture of the README, ${colorScheme}`, pictures, async (t) => {
    const own = await startPlayground(t)
    const page = await own.openSignedIn(t, { viewport: { width: 1280, height: 960 }, colorScheme })
    for (const scenario of ['tabs', 'keys']) {
      await page.locator(`#run-${scenario}`).click()
      await page.locator(`#${scenario}-steps[data-result="good"]`).waitFor()
    }
    await page.waitForTimeout(10_000)
    await page.getByRole('button', { name: 'Stop verifier-2' }).click()
    await page.waitForTimeout(5_000)
    await page.locator('#add-verifier').click()
    await textOf(page, '#notices', /has started/)
    await page.waitForTimeout(20_000)
    await page.evaluate('document.activeElement.blur()')
    await page.evaluate('scrollTo(0, 0)')
    const path = join(projectFolder, `docs/images/playground-${colorScheme}.png`)
    const picture = await page.screenshot({ path })
    t.ok(picture.length < maxPictureBytes, `${picture.length} bytes`)
  })
}

t.test('the browser reports no error', async (t) => {
  // 422: the client asks whether the issuer refuses the origin of the page.
  const gone = /ERR_INTERNET_DISCONNECTED| status of 422 /
  t.same(
    playground.complaints.filter((text) => !gone.test(text)),
    [],
  )
})
