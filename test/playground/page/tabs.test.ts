import type { RequestListener } from 'node:http'
import type { Page } from 'playwright-core'
import t from 'tap'
import { freePort } from '../../../scripts/free-port.ts'
import { type Fate, passTo } from '../../browser/front.ts'
import { freeBasePort } from '../../support/dev.ts'
import { startHttpServer } from '../../support/http-server.ts'
import { until } from '../../support/until.ts'
import { startPlayground } from './playground.ts'

/**
 * How long five tabs stay open while a tenth of all responses is lost. `TABS_S` changes it. From a
 * minute on, access tokens live for 10 s.
 */
const stay_s = Number(process.env.TABS_S ?? 8)
const accessTtl_s = stay_s < 60 ? 2 : 10
const tabCount = 5
const lostShare = 0.1

/** Records each change of the sign-in status in a tab. */
const watch = `
  globalThis.heard = []
  new MutationObserver(() => heard.push(document.documentElement.dataset.status))
    .observe(document.documentElement, { attributeFilter: ['data-status'] })`

const title = 'five tabs, a tenth of all answers lost: nobody is signed out'
t.test(title, { timeout: (stay_s + 110) * 1000 }, async (t) => {
  const sent = { all: 0, lost: 0, refreshes: 0, refreshesLost: 0 }
  let isLossy = false
  const fateOf = (path: string, isBrowser: boolean): Fate => {
    if (!isLossy || !isBrowser) return 'fine'
    const isLost = Math.random() < lostShare
    const isRefresh = path === '/refresh'
    sent.all++
    sent.lost += Number(isLost)
    sent.refreshes += Number(isRefresh)
    sent.refreshesLost += Number(isRefresh && isLost)
    return isLost ? 'answer lost' : 'fine'
  }
  const [port, devPort] = [await freePort(), await freeBasePort()]
  const pass = passTo(devPort, (path, { headers }) => fateOf(path, 'sec-fetch-site' in headers))
  const network: RequestListener = (request, response) => {
    // One connection a request: the browser repeats nothing by itself.
    response.setHeader('connection', 'close')
    pass(request, response)
  }
  await startHttpServer(t, network, port)
  const playground = await startPlayground(t, {
    port: devPort,
    env: {
      GATEPASS_ISSUER: `http://localhost:${port}`,
      GATEPASS_ACCESS_TTL_S: String(accessTtl_s),
    },
  })
  const first = await playground.openSignedIn(t)
  const tabs: Page[] = [first]
  while (tabs.length < tabCount) {
    const tab = await first.context().newPage()
    await tab.goto(playground.url)
    await tab.locator('#dashboard').waitFor()
    // Only a tab in front sends requests that replicas answer; here all of them are.
    await tab.getByText('Off', { exact: true }).click()
    tabs.push(tab)
  }
  for (const tab of tabs) await tab.evaluate(watch)
  isLossy = true
  await first.waitForTimeout(stay_s * 1000)
  const isEnough = () => sent.refreshes >= stay_s / accessTtl_s && sent.lost > 0
  await until('responses were lost, and tokens refreshed', isEnough)
  isLossy = false

  for (const [at, tab] of tabs.entries()) {
    const heard: readonly string[] = await tab.evaluate('heard')
    t.notOk(heard.includes('signed-out'), `tab ${at + 1}`)
    t.ok(await tab.locator('#dashboard').isVisible())
  }
  const ended = /"event":"(refresh\.(reused|refused)|session\.revoked|logout)"/
  t.notMatch(playground.log, ended)
  t.comment(`${stay_s} s, tokens of ${accessTtl_s} s:`, sent)
})
