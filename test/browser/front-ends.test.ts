import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { bundle, bundles } from '../../scripts/browser-bundles.ts'
import { freePort } from '../../scripts/free-port.ts'
import { codeBlocks } from '../docs/documents.ts'
import { password } from '../support/accounts.ts'
import { makeCertificates } from '../support/certificates.ts'
import { startHttpServer } from '../support/http-server.ts'
import { startNginx } from '../support/nginx.ts'
import { readProjectFile } from '../support/project.ts'
import { replaceTexts } from '../support/replace-texts.ts'
import { createTestFolder } from '../support/test-folder.ts'
import { openTab, startChromium } from './chromium.ts'
import { frontEnd, passTo, startFront, startIssuer } from './front.ts'
import { isReadable } from './looks.ts'

/** The set-ups of docs/front-end.md, with real names, TLS, and a browser that keeps to its rules. */

const certificates = makeCertificates(t, 'DNS:*.example.com,DNS:shop.example')
const front = await startFront(t, certificates)
const nginxPort = await freePort()
const chromium = await startChromium(t, certificates.cert, {
  'shop.example.com': nginxPort,
  '*': front.port,
})

/** Signs in, lives through the end of a token and a reload; gives what the page then knows of the user. */
async function signInAndReload(t: Test, url: string) {
  const user = await chromium.user()
  t.teardown(() => user.close())
  const page = await openTab(user, url)
  await page.evaluate(`auth.login({ username: 'ada', password: '${password}' })`)
  t.match(await page.evaluate('auth.user()'), { username: 'ada' })
  await page.reload()
  const known = await page.evaluate('auth.user()')
  t.same(await page.evaluate('violations'), [])
  return { page, user, known }
}

t.test('the page of the guide', async (t) => {
  const issuerUrl = 'https://auth.example.com'
  const issuer = await startIssuer(t, {
    GATEPASS_ISSUER: issuerUrl,
    GATEPASS_ALLOWED_ORIGINS: 'https://app.example.com',
  })
  const blocks = codeBlocks(readProjectFile('docs/front-end.md'))
  const html = blocks.find(({ text }) => text.startsWith('<!doctype html>'))?.text ?? ''
  const [client] = bundles
  if (client === undefined) throw new Error('there is no bundle')
  const file = join(createTestFolder(t), client.file)
  await bundle(client, file)
  front.hosts.set('auth.example.com', passTo(issuer.port))
  front.hosts.set('app.example.com', ({ url }, response) => {
    const isPage = url === '/'
    response.setHeader('content-type', isPage ? 'text/html' : 'text/javascript')
    response.end(isPage ? html.replace('http://localhost:4000', issuerUrl) : readFileSync(file))
  })
  const user = await chromium.user()
  t.teardown(() => user.close())
  const page = await user.newPage()
  await page.goto('https://app.example.com/')
  await page.getByLabel('User name').fill('ada')
  await page.getByLabel('Password').fill(password)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByText('"username": "ada"').waitFor()
  await isReadable(t, page, 'the page', ['serious', 'critical'])
  await page.reload()
  await page.getByText('"username": "ada"').waitFor()
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByText('null').waitFor()
})

/** The shop: its pages, and what it was sent. */
async function startShop(t: Test) {
  const cookies: string[] = []
  const pages = await frontEnd(t, { issuer: 'https://shop.example.com/auth' })
  const { port } = await startHttpServer(t, (request, response) => {
    cookies.push(request.headers.cookie ?? '')
    pages(request, response)
  })
  return { cookies, port }
}

/** nginx with the configuration of the guide, but for ports and files. */
async function startShopNginx(t: Test, ports: { issuer: number; shop: number }) {
  const [block] = codeBlocks(readProjectFile('docs/front-end.md')).filter(
    ({ language }) => language === 'nginx',
  )
  const server = replaceTexts(block?.text ?? '', {
    'listen 443': `listen 127.0.0.1:${nginxPort}`,
    '127.0.0.1:4000': `127.0.0.1:${ports.issuer}`,
    '127.0.0.1:3000': `127.0.0.1:${ports.shop}`,
    '/etc/nginx/shop.crt': certificates.cert,
    '/etc/nginx/shop.key': certificates.key,
  })
  await startNginx(t, server, nginxPort)
}

t.test('the browser of these tests blocks third-party cookies', async (t) => {
  front.hosts.set('tracker.example', ({ headers, url }, response) => {
    response.setHeader('access-control-allow-origin', headers.origin ?? '*')
    response.setHeader('access-control-allow-credentials', 'true')
    if (url === '/set') response.setHeader('set-cookie', 'id=1; Secure; SameSite=None; Path=/')
    response.end(headers.cookie ?? 'none')
  })
  const user = await chromium.user()
  t.teardown(() => user.close())
  const page = await user.newPage()
  const cookies: Record<string, string> = {}
  for (const host of ['news.example.com', 'news.tracker.example']) {
    front.hosts.set(host, (_request, response) => response.end('news'))
    await page.goto(`https://${host}/`)
    cookies[host] = await page.evaluate(`(async () => {
      const ask = (path) => fetch('https://tracker.example' + path, { credentials: 'include' })
      await ask('/set')
      return (await ask('/get')).text()
    })()`)
  }
  t.same(cookies, { 'news.example.com': 'none', 'news.tracker.example': 'id=1' })
})

t.test('one origin, the issuer behind a path', async (t) => {
  const issuerUrl = 'https://shop.example.com/auth'
  const issuer = await startIssuer(t, {
    GATEPASS_ISSUER: issuerUrl,
    GATEPASS_TRUSTED_PROXIES: '127.0.0.1',
  })
  const shop = await startShop(t)
  await startShopNginx(t, { issuer: issuer.port, shop: shop.port })
  for (const query of ['', '?dpop']) {
    const { page, user, known } = await signInAndReload(t, `https://shop.example.com/${query}`)
    t.match(known, { username: 'ada' })
    const cookies = await user.cookies()
    t.match(
      cookies.find(({ name }) => name === '__Host-gatepass'),
      { domain: 'shop.example.com', path: '/', httpOnly: true, secure: true, sameSite: 'Strict' },
    )
    const read = (path: string) =>
      page.evaluate(`fetch('${path}').then((response) => response.json())`)
    const metadata = await read('/.well-known/oauth-authorization-server/auth')
    t.match(metadata, { issuer: issuerUrl, jwks_uri: `${issuerUrl}/.well-known/jwks.json` })
    t.match(await read('/auth/.well-known/jwks.json'), { keys: [{ kty: 'EC' }] })
    const statusOf = (path: string) =>
      page.evaluate(`fetch('/auth${path}').then(({ status }) => status)`)
    for (const path of ['/revocations', '/revocations/stream', '/%72evocations']) {
      t.equal(await statusOf(path), 404, `${path} is for verifiers only`)
    }
    await page.evaluate('auth.logout()')
    await page.reload()
    t.equal(await page.evaluate('auth.user()'), null)
  }
  // Another subdomain can plant a cookie whose name ends like ours, and the user may be signed in at
  // the pages of the issuer.
  const user = await chromium.user()
  t.teardown(() => user.close())
  const url = 'https://shop.example.com/'
  await user.addCookies([
    { url, name: 'planted__Host-gatepass', value: '1', secure: true },
    { url, name: '__Host-gatepass-sign-in', value: 'gpi_x', secure: true },
    { url, name: 'last', value: '2', secure: true },
  ])
  const page = await openTab(user, url)
  await page.evaluate(`auth.login({ username: 'ada', password: '${password}' })`)
  await page.reload()
  t.match(await page.evaluate('auth.user()'), { username: 'ada' })
  t.ok(shop.cookies.some((cookie) => /planted__Host-gatepass=1; last=2(; |$)/.test(cookie)))
  t.ok(shop.cookies.some((cookie) => cookie.includes('__Host-gatepass-device')))
  t.same(
    shop.cookies.filter((cookie) => /gp[ri]_/.test(cookie)),
    [],
    'no refresh token, and no sign-in',
  )
})

t.test('a sibling subdomain, allowed and not allowed', async (t) => {
  const issuerUrl = 'https://auth.example.com'
  const issuer = await startIssuer(t, {
    GATEPASS_ISSUER: issuerUrl,
    GATEPASS_ALLOWED_ORIGINS: 'https://app.example.com',
  })
  front.hosts.set('app.example.com', await frontEnd(t, { issuer: issuerUrl }))
  front.hosts.set('blog.example.com', await frontEnd(t, { issuer: issuerUrl }))
  front.hosts.set('auth.example.com', passTo(issuer.port))
  const { page, user, known } = await signInAndReload(t, 'https://app.example.com/')
  t.match(known, { username: 'ada' })
  t.match(await page.evaluate('auth.sessions()'), [{ current: true }])
  const blog = await openTab(user, 'https://blog.example.com/')
  for (const call of ['getAccessToken()', "login({ username: 'ada', password: 'x' })", 'user()']) {
    const refused = await blog.evaluate(`auth.${call}.catch((error) => [error.code, error.status])`)
    t.same(refused, ['origin_not_allowed', 403], call)
  }
  t.equal(await blog.evaluate('auth.state.status'), 'unknown')
  t.match(await page.evaluate('auth.user()'), { username: 'ada' })
  await page.evaluate('auth.logoutEverywhere()')
  t.equal(await page.evaluate('auth.state.status'), 'signed-out')
  t.same(
    (await user.cookies()).map(({ name }) => name),
    ['__Host-gatepass-device'],
  )
})

t.test('another site stays signed in until the reload', async (t) => {
  const issuerUrl = 'https://login.example.com'
  const issuer = await startIssuer(t, {
    GATEPASS_ISSUER: issuerUrl,
    GATEPASS_ALLOWED_ORIGINS: 'https://shop.example',
  })
  front.hosts.set('shop.example', await frontEnd(t, { issuer: issuerUrl }))
  front.hosts.set('login.example.com', passTo(issuer.port))
  const { page, user, known } = await signInAndReload(t, 'https://shop.example/')
  t.equal(known, null)
  t.same(await user.cookies(), [])
  await page.evaluate(`auth.login({ username: 'ada', password: '${password}' })`)
  await page.evaluate('auth.logout()')
  t.equal(await issuer.countOf('logout'), 1, 'by the access token')
})
