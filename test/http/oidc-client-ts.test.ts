import { createRequire } from 'node:module'
import { buildSync } from 'esbuild'
import type { Page } from 'playwright-core'
import t from 'tap'
import { startChromium } from '../browser/chromium.ts'
import { fillIn, passTo, startFront } from '../browser/front.ts'
import { makeCertificates } from '../support/certificates.ts'
import { webClient } from '../support/issuer.ts'
import { startOAuth } from '../support/oauth.ts'

/**
 * A single-page application on another site, with oidc-client-ts as it is. With DPoP it does not ask for
 * user information: it would send the token as a bearer token.
 */

const site = 'https://shop.example'
const certificates = makeCertificates(t, 'DNS:*.example.com,DNS:shop.example')
const front = await startFront(t, certificates)
const chromium = await startChromium(t, certificates.cert, { '*': front.port })

const { outputFiles } = buildSync({
  stdin: {
    contents: `import { UserManager, WebStorageStateStore, IndexedDbDPoPStore } from ${JSON.stringify(
      createRequire(import.meta.url).resolve('oidc-client-ts'),
    )}
      window.manager = new UserManager({
        authority: 'https://auth.example.com',
        client_id: 'shop',
        redirect_uri: '${site}/cb',
        post_logout_redirect_uri: '${site}/bye',
        scope: 'openid profile',
        userStore: new WebStorageStateStore({ store: sessionStorage }),
        ...(location.search === '?dpop' || sessionStorage.dpop
          ? { dpop: { bind_authorization_code: true, store: new IndexedDbDPoPStore() } }
          : { loadUserInfo: true }),
      })
      if (location.search === '?dpop') sessionStorage.dpop = '1'
      window.done = location.pathname === '/cb' ? manager.signinCallback() : Promise.resolve()`,
    resolveDir: import.meta.dirname,
  },
  bundle: true,
  write: false,
  format: 'iife',
})
const script = outputFiles[0]?.text ?? ''
front.hosts.set('shop.example', ({ url = '' }, response) => {
  const isScript = url === '/app.js'
  response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html')
  response.end(isScript ? script : '<!doctype html><script src="/app.js"></script>')
})

const issuer = await startOAuth(t, {
  startMs: Date.now(),
  clients: [
    webClient,
    {
      client_id: 'shop',
      grants: ['authorization_code', 'refresh_token'],
      redirect_uris: [`${site}/cb`],
      post_logout_redirect_uris: [`${site}/bye`],
      scopes: { profile: ['name'] },
      third_party: true,
    },
  ],
})
// A DPoP proof has the time of Chromium.
issuer.clock.run()
front.hosts.set('auth.example.com', passTo((await issuer.listen()).port))

/** Starts the sign-in of the application, which leaves the page. */
async function leave(page: Page, call: string): Promise<void> {
  await page.evaluate(`void window.manager.${call}`)
}

for (const query of ['', '?dpop']) {
  t.test(`oidc-client-ts${query}: sign-in by redirect, renewal, sign-out`, async (t) => {
    const user = await chromium.user({ locale: 'en-GB' })
    t.teardown(() => user.close())
    const page = await user.newPage()
    await page.goto(`${site}/${query}`)
    await leave(page, 'signinRedirect()')
    await fillIn(page)
    const isAsked = query === ''
    if (isAsked) await page.getByRole('button', { name: 'Allow', exact: true }).click()
    await page.waitForURL(`${site}/cb?**`)
    await page.evaluate('window.done')
    const signedIn = await page.evaluate('manager.getUser().then((user) => ({ ...user }))')
    t.match(signedIn, {
      token_type: query === '' ? 'Bearer' : 'DPoP',
      profile: { sub: /./, ...(isAsked && { name: 'Ada' }) },
      refresh_token: /^gpr_/,
    })
    const renewed = await page.evaluate('manager.signinSilent().then((user) => ({ ...user }))')
    t.match(renewed, { profile: { sub: /./ }, access_token: /./ })

    // Signed in at the issuer, so not asked again.
    await page.goto(site)
    await leave(page, 'signinRedirect()')
    await page.waitForURL((url) => url.pathname === '/cb')
    await page.evaluate('window.done')

    await leave(page, 'signoutRedirect()')
    await page.waitForURL(`${site}/bye**`)
    const left = await page.evaluate(`fetch('https://auth.example.com/oauth/userinfo', {
      headers: { authorization: 'Bearer ${(renewed as { access_token: string }).access_token}' },
    }).then(({ status }) => status)`)
    t.equal(left, 401)
    await leave(page, 'signinRedirect()')
    await page.getByLabel('User name').waitFor()
  })
}
