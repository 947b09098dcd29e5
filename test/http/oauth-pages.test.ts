import type { BrowserContextOptions, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { startChromium } from '../browser/chromium.ts'
import { passTo, startFront, startIssuer } from '../browser/front.ts'
import { isReadable, looks, lowTargets } from '../browser/looks.ts'
import { makeCertificates } from '../support/certificates.ts'
import { password } from '../support/issuer.ts'
import { clients, startOAuth } from '../support/oauth.ts'
import { goodRequest } from '../support/visitor.ts'

/** The pages as people have them: real names, TLS, and Chromium with and without JavaScript. */

const certificates = makeCertificates(t, 'DNS:*.example.com,DNS:prints.example')
const front = await startFront(t, certificates)
const chromium = await startChromium(t, certificates.cert, { '*': front.port })

const issuer = await startOAuth(t, {
  clients: [
    ...clients,
    {
      client_id: 'prints',
      client_name: 'Photo Prints',
      grants: ['authorization_code'],
      redirect_uris: ['https://prints.example/cb'],
      scopes: { profile: ['name', 'roles'], 'data:read': [] },
      third_party: true,
    },
  ],
})
front.hosts.set('auth.example.com', passTo((await issuer.listen()).port))
front.hosts.set('app.example.com', (_request, response) => response.end('the application'))
// A client may go on to another origin of its own.
front.hosts.set('prints.example', ({ url = '' }, response) => {
  response.writeHead(303, { location: `https://app.example.com${url}` }).end()
})

function authorizeUrl(changes: Readonly<Record<string, string>> = {}): string {
  const query = new URLSearchParams({ ...goodRequest, ...changes })
  return `https://auth.example.com/oauth/authorize?${query}`
}

const prints = {
  client_id: 'prints',
  redirect_uri: 'https://prints.example/cb',
  scope: 'openid profile data:read',
  // The first test is not the only one that is asked.
  prompt: 'consent',
}

/** A browser of its own, and what its pages complain of. */
async function openBrowser(t: Test, options: BrowserContextOptions = {}) {
  const user = await chromium.user({ locale: 'en-GB', ...options })
  t.teardown(() => user.close())
  const page = await user.newPage()
  const complaints: string[] = []
  page.on('console', (message) => {
    // Chromium says so of each.
    if (!/^Failed to load resource: .* (400|401) /.test(message.text())) {
      complaints.push(message.text())
    }
  })
  page.on('pageerror', (error) => complaints.push(String(error)))
  return { user, page, complaints }
}

async function signIn(page: Page, text = password): Promise<void> {
  await page.getByLabel('User name').fill('ada')
  await page.getByLabel('Password').fill(text)
  await page.keyboard.press('Enter')
}

for (const javaScriptEnabled of [true, false]) {
  t.test(`sign-in and consent ${javaScriptEnabled ? 'with' : 'without'} JavaScript`, async (t) => {
    const { page, user, complaints } = await openBrowser(t, { javaScriptEnabled })
    await page.goto(authorizeUrl(prints))
    await signIn(page, 'wrong')
    t.match(await page.getByRole('alert').textContent(), /password is wrong/)
    t.equal(await page.getByLabel('User name').inputValue(), 'ada')
    await page.getByLabel('Password').fill(password)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByRole('heading', { name: 'Allow Photo Prints to use your account?' }).waitFor()
    await page.getByRole('button', { name: 'Allow', exact: true }).click()
    await page.waitForURL('https://app.example.com/cb?**')
    const { searchParams } = new URL(page.url())
    t.match(searchParams.get('code'), /^gpc_/)
    t.equal(searchParams.get('state'), 'the state')
    t.equal(searchParams.get('iss'), 'https://auth.example.com')

    await page.goto(authorizeUrl())
    t.match(page.url(), 'https://app.example.com/cb', 'signed in, so not asked again')
    const cookies = await user.cookies('https://auth.example.com')
    t.match(
      cookies.find(({ name }) => name === '__Host-gatepass-sign-in'),
      { httpOnly: true, secure: true, sameSite: 'Lax', path: '/' },
    )
    t.same(complaints, [])
  })
}

t.test('the way back, and a reload, lead to a page and send no form again', async (t) => {
  const sent: string[] = []
  const pass = front.hosts.get('auth.example.com')
  front.hosts.set('auth.example.com', (incoming, response) => {
    if (incoming.method === 'POST') sent.push(incoming.url ?? '')
    pass?.(incoming, response)
  })
  const { page } = await openBrowser(t)
  // A page that Chromium has kept is shown without the event that Playwright waits for.
  const go = (steps: number) => page.evaluate(`history.go(${steps})`)
  await page.goto(authorizeUrl(prints))
  await signIn(page, 'wrong')
  await page.getByText('password is wrong').waitFor()
  await page.reload()
  await page.getByText('password is wrong').waitFor()
  t.equal(await page.getByLabel('User name').inputValue(), 'ada')
  await signIn(page)
  await page.getByRole('heading', { name: /^Allow/ }).waitFor()
  await page.reload()
  await page.getByRole('button', { name: 'Use another account' }).click()
  await page.getByLabel('User name').waitFor()
  await go(-1)
  await page.getByRole('button', { name: 'Allow', exact: true }).click()
  await page.getByText('the application').waitFor()
  t.same(sent, ['/oauth/sign-in', '/oauth/sign-in', '/oauth/consent', '/oauth/consent'])
  await go(-1)
  await page.getByRole('heading', { name: /^Allow/ }).waitFor()
  await go(-1)
  await page.getByText('password is wrong').waitFor()
  await go(2)
  await page.getByText('the application').waitFor()
  t.equal(sent.length, 4)
})

t.test('no site can show the page in a frame', async (t) => {
  front.hosts.set('evil.example.com', (_request, response) => {
    response.setHeader('content-type', 'text/html')
    response.end(`<iframe src="${authorizeUrl().replaceAll('&', '&amp;')}"></iframe>`)
  })
  const { page, complaints } = await openBrowser(t)
  await page.goto('https://evil.example.com/')
  const frame = page.frames()[1]
  t.equal(await frame?.locator('input').count(), 0)
  t.match(complaints.join(), /frame-ancestors|X-Frame-Options/i)
})

t.test('no other site can send the form', async (t) => {
  const { page, user } = await openBrowser(t)
  await page.goto(authorizeUrl())
  const interaction = await page.locator('input[name=interaction]').inputValue()
  front.hosts.set('evil.example.com', (_request, response) => {
    response.setHeader('content-type', 'text/html')
    response.end(`<form method="post" action="https://auth.example.com/oauth/sign-in">
      <input name="interaction" value="${interaction}"><input name="username" value="ada">
      <input name="password" value="${password}"><button>go</button></form>`)
  })
  await page.goto('https://evil.example.com/')
  await page.getByRole('button').click()
  await page.getByText('The request came from another site.').waitFor()
  const names = (await user.cookies('https://auth.example.com')).map(({ name }) => name)
  t.notOk(names.includes('__Host-gatepass-sign-in'))
})

t.test('an issuer below a path', async (t) => {
  const below = await startIssuer(t, {
    GATEPASS_ISSUER: 'https://shop.example.com/auth',
    GATEPASS_CLIENTS: JSON.stringify([
      { client_id: 'web', scopes: {} },
      {
        client_id: 'spa',
        grants: ['authorization_code'],
        redirect_uris: [goodRequest.redirect_uri],
        scopes: {},
      },
    ]),
  })
  const pass = passTo(below.port)
  front.hosts.set('shop.example.com', (incoming, response) => {
    incoming.url = incoming.url?.replace(/^\/auth/, '')
    pass(incoming, response)
  })
  const { page, complaints } = await openBrowser(t)
  const query = new URLSearchParams({ ...goodRequest, max_age: '0' })
  await page.goto(`https://shop.example.com/auth/oauth/authorize?${query}`)
  t.match(
    await page.evaluate('getComputedStyle(document.querySelector("main")).borderRadius'),
    '14px',
  )
  await signIn(page, 'wrong')
  await page.getByRole('alert').waitFor()
  await signIn(page)
  await page.waitForURL('https://app.example.com/cb?code=**')
  t.same(complaints, [])
})

/** Readable, and nothing is too low for a finger. */
async function isFine(t: Test, page: Page, where: string): Promise<void> {
  await isReadable(t, page, where)
  t.same(await lowTargets(page), [], `${where}: high enough`)
}

for (const [look, options] of Object.entries(looks)) {
  t.test(look, async (t) => {
    const { page, user, complaints } = await openBrowser(t, { ...options, bypassCSP: true })
    await page.goto(authorizeUrl(prints))
    await page.locator('#username:focus').waitFor()
    await isFine(t, page, 'sign-in')
    await signIn(page, 'wrong')
    await page.getByRole('alert').waitFor()
    await page.locator('#password:focus').waitFor()
    await isFine(t, page, 'failure')
    await signIn(page)
    await page.getByRole('heading', { name: /^Allow/ }).waitFor()
    await isFine(t, page, 'consent')
    await page.setViewportSize({ width: 320, height: 640 })
    await isFine(t, page, 'consent in a narrow window')
    await user.clearCookies({ name: '__Host-gatepass-browser' })
    await page.getByRole('button', { name: 'Allow', exact: true }).click()
    await page.getByRole('link', { name: 'Start again' }).waitFor()
    await isFine(t, page, 'error')
    await page.getByRole('link', { name: 'Start again' }).click()
    await page.getByRole('heading', { name: /^Allow/ }).waitFor()
    t.same(complaints, [])
  })
}
