import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { freePort } from '../../scripts/free-port.ts'
import { createClientSecret } from '../../src/oauth/client-secret.ts'
import { launchChromium } from '../browser/chromium.ts'
import { fillIn, startIssuer } from '../browser/front.ts'
import { startDaemon } from '../support/daemon.ts'
import { signIn } from '../support/services.ts'
import { createTestFolder } from '../support/test-folder.ts'
import { until } from '../support/until.ts'

/** Apache with mod_auth_openidc as Debian has it: it signs users in, and guards an API. */

const [issuerPort, apachePort] = [await freePort(), await freePort()]
const issuerUrl = `http://localhost:${issuerPort}`
const apacheUrl = `http://127.0.0.1:${apachePort}`
const [application, gateway] = [createClientSecret(), createClientSecret()]

const clients = [
  { client_id: 'web', scopes: { profile: ['name'] } },
  {
    client_id: 'apache',
    grants: ['authorization_code', 'refresh_token'],
    auth_method: 'client_secret_basic',
    secret_hashes: [application.hash],
    redirect_uris: [`${apacheUrl}/protected/callback`],
    post_logout_redirect_uris: [`${apacheUrl}/`],
    backchannel_logout_uri: `${apacheUrl}/protected/callback?logout=backchannel`,
    scopes: { profile: [] },
  },
  {
    client_id: 'gateway',
    grants: ['client_credentials'],
    auth_method: 'client_secret_basic',
    secret_hashes: [gateway.hash],
    scopes: {},
  },
]

function configuration(folder: string): string {
  const modules = ['mpm_event', 'authn_core', 'authz_core', 'authz_user', 'headers', 'dir']
  return `
    ServerName localhost
    ServerRoot ${folder}
    DefaultRuntimeDir ${folder}
    PidFile ${folder}/pid
    ErrorLog ${folder}/error.log
    LogLevel warn
    User www-data
    Group www-data
    ${modules.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`).join('\n')}
    LoadModule auth_openidc_module /usr/lib/apache2/modules/mod_auth_openidc.so
    Listen 127.0.0.1:${apachePort}
    DocumentRoot ${folder}/pages
    DirectoryIndex index.html

    OIDCProviderMetadataURL ${issuerUrl}/.well-known/openid-configuration
    OIDCClientID apache
    OIDCClientSecret ${application.secret}
    OIDCRedirectURI ${apacheUrl}/protected/callback
    OIDCCryptoPassphrase a-passphrase-of-this-test
    OIDCScope "openid profile"
    OIDCPKCEMethod S256
    OIDCProviderAuthRequestMethod PAR
    OIDCRemoteUserClaim sub
    OIDCDefaultLoggedOutURL ${apacheUrl}/
    <Location /protected>
      AuthType openid-connect
      Require valid-user
      Header set X-Remote-User expr=%{REMOTE_USER}
    </Location>

    OIDCOAuthIntrospectionEndpoint ${issuerUrl}/oauth/introspect
    OIDCOAuthIntrospectionEndpointAuth client_secret_basic
    OIDCOAuthClientID gateway
    OIDCOAuthClientSecret ${gateway.secret}
    OIDCOAuthRemoteUserClaim sub
    OIDCOAuthTokenIntrospectionInterval -1
    <Location /api>
      AuthType oauth20
      Require valid-user
      Header set X-Remote-User expr=%{REMOTE_USER}
    </Location>
  `
}

async function startApache(t: Test): Promise<void> {
  const folder = createTestFolder(t)
  for (const path of ['pages', 'pages/protected', 'pages/api']) {
    mkdirSync(join(folder, path))
    writeFileSync(join(folder, path, 'index.html'), `<h1>${path}</h1>`)
  }
  writeFileSync(join(folder, 'httpd.conf'), configuration(folder))
  const command = ['apache2', '-X', '-f', `${folder}/httpd.conf`]
  await startDaemon(t, { command, cwd: folder, ready: () => fetch(apacheUrl) })
}

const issuer = await startIssuer(t, {
  GATEPASS_ISSUER: issuerUrl,
  GATEPASS_PORT: String(issuerPort),
  GATEPASS_CLIENTS: JSON.stringify(clients),
})
await startApache(t)

t.test('as a relying party: PAR, PKCE, user information, sign-out at the issuer', async (t) => {
  const browser = await launchChromium(t)
  const page = await (await browser.newContext({ locale: 'en-GB' })).newPage()
  await page.goto(`${apacheUrl}/protected/`)
  t.match(page.url(), `${issuerUrl}/oauth/authorize?`)
  await fillIn(page)
  await page.getByRole('heading', { name: 'pages/protected' }).waitFor()
  t.equal(page.url(), `${apacheUrl}/protected/`)
  const again = await page.reload()
  t.match(await again?.headerValue('x-remote-user'), /^[\w-]{36}$/)

  // The issuer tells Apache, whose session ends.
  await page.goto(`${issuerUrl}/oauth/logout`)
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByRole('heading', { name: 'You are signed out' }).waitFor()
  await until('Apache has ended its session', async () => {
    await page.goto(`${apacheUrl}/protected/`)
    return page.url().startsWith(`${issuerUrl}/oauth/authorize?`)
  })

  // And Apache signs out at the issuer.
  await fillIn(page)
  await page.getByRole('heading', { name: 'pages/protected' }).waitFor()
  await page.goto(`${apacheUrl}/protected/callback?logout=${encodeURIComponent(`${apacheUrl}/`)}`)
  await page.getByRole('heading', { name: 'pages', exact: true }).waitFor()
  await page.goto(`${apacheUrl}/protected/`)
  await page.getByLabel('Password').waitFor()
  t.ok((await issuer.countOf('logout')) >= 3)
})

t.test('as a resource server: introspection, and a sign-out at once', async (t) => {
  const { access_token, refresh_token } = await signIn(issuerUrl)
  const authorization = `Bearer ${access_token}`
  const ask = (headers: Record<string, string> = {}) => fetch(`${apacheUrl}/api/`, { headers })
  const answer = await ask({ authorization })
  t.equal(answer.status, 200)
  t.match(answer.headers.get('x-remote-user'), /^[\w-]{36}$/)
  t.equal((await ask()).status, 401)
  t.equal((await ask({ authorization: `${authorization}x` })).status, 401)
  t.equal((await ask({ authorization: `Bearer ${refresh_token}` })).status, 401)
  await fetch(`${issuerUrl}/logout`, { method: 'POST', headers: { authorization } })
  t.equal((await ask({ authorization })).status, 401)
})
