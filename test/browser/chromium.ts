import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  type BrowserContext,
  type BrowserContextOptions,
  chromium,
  type Page,
} from 'playwright-core'
import type { Test } from 'tap'
import { patienceMs } from '../support/patience.ts'

/**
 * Parts of the browser's own window, each a page or a process for every window, and those that Playwright
 * disables: this flag replaces its flag.
 */
const disabledFeatures = [
  ...['WebUIOmniboxPopup', 'WebUIOmniboxAimPopup', 'WebUIOmniboxFullPopup'],
  ...['SpareRendererForSitePerProcess', 'AvoidUnnecessaryBeforeUnloadCheckSync'],
  ...['DestroyProfileOnBrowserClose', 'HttpsUpgrades', 'HttpsFirstBalancedModeAutoEnable'],
  ...['LensOverlay', 'MediaRouter', 'PaintHolding', 'ThirdPartyStoragePartitioning'],
  ...['AvoidCorsURLLoaderRestartOnRedirect', 'OptimizationHints', 'NetworkTimeServiceQuerying'],
  ...['AimEnabled', 'PreconnectToSearch'],
]

const flags = [
  `--disable-features=${disabledFeatures.join(',')}`,
  ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
  ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
]

/** Chromium with a new profile. */
export async function launchChromium(t: Test, args: readonly string[] = []) {
  const browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    timeout: patienceMs,
    args: [...flags, ...args],
    // As people have it: a page that is left is kept for the way back, and popups are blocked.
    ignoreDefaultArgs: ['--disable-back-forward-cache', '--disable-popup-blocking'],
  })
  browser.on('context', (user) => user.setDefaultTimeout(patienceMs))
  t.teardown(() => browser.close())
  return browser
}

/**
 * Chromium with a new profile, for which hosts are ports of this machine, and the certificate there
 * is a good one.
 * @param ports by host; `*` is any other
 */
export async function startChromium(
  t: Test,
  cert: string,
  ports: Readonly<Record<string, number>>,
) {
  const rules = Object.entries(ports).map(([host, port]) => `MAP ${host} 127.0.0.1:${port}`)
  const browser = await launchChromium(t, [
    `--host-resolver-rules=${rules.join(', ')}`,
    `--ignore-certificate-errors-spki-list=${publicKeyHash(cert)}`,
  ])
  return {
    /** A user with a browser of their own. */
    async user(options: BrowserContextOptions = {}): Promise<BrowserContext> {
      return browser.newContext(options)
    },
  }
}

/** Opens a page and waits for its client. */
export async function openTab(user: BrowserContext, url: string): Promise<Page> {
  const page = await user.newPage()
  await page.goto(url)
  await page.waitForFunction('window.auth')
  return page
}

function publicKeyHash(cert: string): string {
  const pem = execFileSync('openssl', ['x509', '-in', cert, '-pubkey', '-noout'], { stdio: 'pipe' })
  const der = Buffer.from(String(pem).replace(/-----.*-----/g, ''), 'base64')
  return createHash('sha256').update(der).digest('base64')
}

/** Deletes the stored keys, as a browser may do. */
export function deleteDatabase(page: Page): Promise<unknown> {
  return page.evaluate(`new Promise((resolve, reject) => {
    const deleting = indexedDB.deleteDatabase('gatepass')
    deleting.onsuccess = () => resolve()
    deleting.onerror = () => reject(deleting.error)
  })`)
}
