import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'
import t from 'tap'
import { password } from '../support/accounts.ts'
import { makeCertificates } from '../support/certificates.ts'
import { projectFolder } from '../support/project.ts'
import { createTestFolder } from '../support/test-folder.ts'
import { startChromium } from './chromium.ts'
import { passTo, startFront, startIssuer } from './front.ts'

const issuerUrl = 'https://auth.example.com'

const app = `
  import { createElement, useSyncExternalStore } from 'react'
  import { hydrateRoot } from 'react-dom/client'
  import { renderToString } from 'react-dom/server'
  import { createAuthClient } from './src/browser/index.ts'

  const auth = createAuthClient({ issuer: '${issuerUrl}' })
  const atFirst = auth.state
  const rendered = []
  function App() {
    const state = useSyncExternalStore(auth.onChange, () => auth.state, () => atFirst)
    rendered.push(state.status)
    return createElement('p', { id: state.status }, state.status)
  }
  const main = document.querySelector('main')
  // As a server does.
  main.innerHTML = renderToString(createElement(App))
  const hydrate = () => hydrateRoot(main, createElement(App))
  Object.assign(globalThis, { auth, rendered, hydrate })`

async function bundleApp(outfile: string): Promise<string> {
  await build({
    stdin: { contents: app, resolveDir: projectFolder },
    outfile,
    bundle: true,
    format: 'iife',
    define: { 'process.env.NODE_ENV': '"development"' },
  })
  return readFileSync(outfile, 'utf8')
}

t.test('a React component of a server renders once for each change of the state', async (t) => {
  const certificates = makeCertificates(t, 'DNS:*.example.com')
  const front = await startFront(t, certificates)
  const issuer = await startIssuer(t, {
    GATEPASS_ISSUER: issuerUrl,
    GATEPASS_ALLOWED_ORIGINS: 'https://app.example.com',
  })
  const script = await bundleApp(join(createTestFolder(t), 'app.js'))
  front.hosts.set('auth.example.com', passTo(issuer.port))
  front.hosts.set('app.example.com', ({ url }, response) => {
    const [type, text] = url?.endsWith('.js')
      ? ['text/javascript', script]
      : ['text/html', '<!doctype html><main></main><script src="app.js"></script>']
    response.setHeader('content-type', type)
    response.end(text)
  })
  const chromium = await startChromium(t, certificates.cert, { '*': front.port })
  const page = await (await chromium.user()).newPage()
  const complaints: string[] = []
  page.on('pageerror', (error) => complaints.push(String(error)))
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()))

  await page.goto('https://app.example.com/')
  await page.locator('#unknown').waitFor()
  await page.evaluate(`auth.login({ username: 'ada', password: '${password}' })`)
  // The page that the server has rendered does not know it yet.
  await page.evaluate('void hydrate()')
  await page.locator('#signed-in').waitFor()
  await page.evaluate('auth.logout()')
  await page.locator('#signed-out').waitFor()
  t.same(await page.evaluate('rendered'), ['unknown', 'unknown', 'signed-in', 'signed-out'])
  t.same(complaints, [])
})
