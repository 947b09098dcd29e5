import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import type { Test } from 'tap'
import { launchChromium } from '../../browser/chromium.ts'
import { runCommand } from '../../support/commands.ts'
import { startDev } from '../../support/dev.ts'
import { createTestFolder } from '../../support/test-folder.ts'
import { until } from '../../support/until.ts'

/** The shortest possible times, so that a scenario does not wait long. */
export const quick = {
  GATEPASS_ARGON2_MEMORY_KIB: '8',
  GATEPASS_GRACE_S: '1',
  GATEPASS_JWKS_MAX_AGE_S: '1',
  GATEPASS_CLOCK_SKEW_S: '1',
}

interface PlaygroundOptions {
  /** Further settings. A browser opens `GATEPASS_ISSUER`. */
  readonly env?: Readonly<Record<string, string>>
  /** See `freeBasePort`. */
  readonly port?: number
}

/** The playground as `npm start` serves it, and a browser. */
export async function startPlayground(t: Test, { env, ...options }: PlaygroundOptions = {}) {
  const cwd = createTestFolder(t)
  const all = { ...quick, ...env }
  const { dev, password, issuer } = await startDev(t, { cwd, env: all, ...options })
  t.teardown(() => dev.stop())
  const url = env?.GATEPASS_ISSUER ?? issuer
  return new Playground(await launchChromium(t), { url, password, cwd })
}

/** Chromium logs each 401. It is no failure that a user is not signed in. */
const notSignedIn = /^Failed to load resource: .* 401 /

export class Playground {
  readonly url: string
  readonly password: string
  readonly #cwd: string
  /** Errors of the pages, and violations of their Content-Security-Policy. */
  readonly complaints: string[] = []
  readonly #browser: Browser

  constructor(
    browser: Browser,
    about: { readonly url: string; readonly password: string; readonly cwd: string },
  ) {
    this.#browser = browser
    this.url = about.url
    this.password = about.password
    this.#cwd = about.cwd
  }

  /** The log of the issuer. */
  get log(): string {
    return readFileSync(join(this.#cwd, '.gatepass/issuer.log'), 'utf8')
  }

  /** Adds another user than the demo user. */
  async addUser(name: string, password: string): Promise<void> {
    await runCommand(['users', 'add', name], { cwd: this.#cwd, env: quick, input: password })
  }

  /** A user with a browser of their own. */
  async user(t: Test, options: BrowserContextOptions = {}) {
    const user = await this.#browser.newContext(options)
    t.teardown(() => user.close())
    await user.grantPermissions(['clipboard-read', 'clipboard-write'])
    await user.addInitScript(
      `addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) =>
        console.error('blocked', violatedDirective, blockedURI))`,
    )
    user.on('page', (page) => this.#listen(page))
    return user
  }

  /** Opens the link of the terminal, which fills in the password. */
  async open(t: Test, options?: BrowserContextOptions): Promise<Page> {
    const page = await (await this.user(t, options)).newPage()
    await page.goto(`${this.url}/#password=${this.password}`)
    await page.locator('#welcome').waitFor()
    return page
  }

  async openSignedIn(t: Test, options?: BrowserContextOptions): Promise<Page> {
    const page = await this.open(t, options)
    const dashboard = page.locator('#dashboard')
    // On a busy machine the first hash, which starts a process, may outlast the page's patience.
    await until('the user is signed in', async () => {
      await page.getByRole('button', { name: 'Sign in' }).click()
      await page.locator('#dashboard:not([hidden]), #sign-in-error:not([hidden])').waitFor()
      return dashboard.isVisible()
    })
    await page.locator('#shelf button').first().waitFor()
    return page
  }

  #listen(page: Page): void {
    page.on('pageerror', (error) => this.complaints.push(String(error.stack)))
    page.on('console', (message) => {
      const text = message.text()
      if (['error', 'warning'].includes(message.type()) && !notSignedIn.test(text)) {
        this.complaints.push(text)
      }
    })
  }
}

/** The text of an element that is there. */
export async function read(page: Page, selector: string): Promise<string> {
  return (await page.locator(selector).textContent()) ?? ''
}

/** The text of an element, once it can be seen and is as wanted. */
export async function textOf(page: Page, selector: string, wanted = /\S/): Promise<string> {
  const found = page.locator(selector).filter({ hasText: wanted })
  await found.first().waitFor({ timeout: 60_000 })
  return (await found.first().textContent()) ?? ''
}

/** The id of the element that has the focus. */
export function focusOf(page: Page): Promise<string> {
  return page.evaluate('document.activeElement.id')
}
