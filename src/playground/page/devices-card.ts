import { AuthClientError, type DeviceSession } from '../../browser/index.ts'
import { button, byId, el, listView, notify, pause, setText } from './dom.ts'
import type { Page } from './page.ts'
import { issuer, jsonOf } from './server.ts'

type ShownDevice = Omit<DeviceSession, 'last_used_at' | 'expires_at'>

/** Starts the list of the user's sessions, each with a sign-out button. */
export function startDevicesCard(page: Page): void {
  const { auth, feed } = page
  const show = async () => {
    if (auth.state.status !== 'signed-in') return
    const devices = await auth.sessions()
    setText(byId('device-count'), String(devices.length))
    // A refresh changes these fields, which no row shows.
    showRows(devices.map(({ last_used_at: _, expires_at: __, ...shown }) => shown))
  }
  const row = (device: ShownDevice) => {
    const name = nameOf(device.user_agent)
    const end = async () => {
      if (device.current) page.expectSignOut('here')
      await auth.endSession(device.session_id)
      await feed.ask()
      await show()
      byId('devices').focus()
    }
    return el(
      'li',
      { 'data-session': device.session_id },
      el(
        'div',
        { class: 'device' },
        el('strong', {}, name),
        ...(device.current ? [el('span', { class: 'badge' }, 'this device')] : []),
        el('span', { class: 'hint' }, `since ${timeOf(device.created_at)}`),
      ),
      button('Sign out', { class: 'small danger', 'aria-label': labelOf(device, name) }, end),
    )
  }
  const showRows = listView('devices', row)
  auth.onChange(() => show().catch(() => {}))
  feed.onState(({ events }) => {
    if (events.some(({ event }) => /^(login\.ok|logout|session)/.test(event))) {
      show().catch(() => {})
    }
  })
  byId('add-device').replaceWith(
    button('Sign in as another device', { id: 'add-device', class: 'secondary' }, async () => {
      if ((await SecondDevice.signIn(page)) === null) return
      await feed.ask()
      notify('Another device signed in. You can sign it out in this list.', 'good')
    }),
  )
}

function labelOf({ current, created_at }: ShownDevice, name: string): string {
  return current ? 'Sign out this device' : `Sign out ${name}, since ${timeOf(created_at)}`
}

function timeOf(instant: string): string {
  return new Date(instant).toLocaleTimeString()
}

const browsers = [
  [/Edg\//, 'Edge'],
  [/Firefox\//, 'Firefox'],
  [/Chrom(e|ium)\/|HeadlessChrome/, 'Chromium'],
  [/Safari\//, 'Safari'],
  [/curl\//, 'curl'],
  [/node|undici/i, 'Node.js'],
] as const
const systems = [
  [/Android/, 'Android'],
  [/iPhone|iPad/, 'iOS'],
  [/Windows/, 'Windows'],
  [/Mac OS X/, 'macOS'],
  [/Linux/, 'Linux'],
] as const

/** A short name of a device, from its user agent. */
function nameOf(userAgent: string): string {
  const find = (names: readonly (readonly [RegExp, string])[]) =>
    names.find(([pattern]) => pattern.test(userAgent))?.[1]
  const [browser, system] = [find(browsers), find(systems)]
  if (browser === undefined) return userAgent.slice(0, 40) || 'Unknown device'
  return system === undefined ? browser : `${browser} on ${system}`
}

const refusalTimeoutMs = 10_000
/** Consecutive refusals after which every replica has very likely refused once. */
const requiredRefusals = 20

interface Answer {
  readonly access_token: string
  readonly refresh_token: string
  readonly session_id: string
}

/** Sends no cookies of this page, because the request comes from another device. */
async function post(path: string, body: object, headers: Record<string, string> = {}) {
  return fetch(`${issuer}${path}`, {
    method: 'POST',
    credentials: 'omit',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  })
}

/** A second session that holds its refresh tokens in memory, like an app on a phone. */
export class SecondDevice {
  readonly sessionId: string
  readonly #firstRefreshToken: string
  #refreshToken: string
  #accessToken: string

  private constructor(answer: Answer) {
    this.sessionId = answer.session_id
    this.#firstRefreshToken = answer.refresh_token
    this.#refreshToken = answer.refresh_token
    this.#accessToken = answer.access_token
  }

  /** Signs the user of the page in. @returns null if the user does not enter the password */
  static async signIn({ auth, password: prompt }: Page): Promise<SecondDevice | null> {
    const password = await prompt.ask()
    const user = password && (await auth.user())
    if (!user) return null
    const body = { username: user.username, password, refresh_token_in: 'body' }
    try {
      return new SecondDevice(await jsonOf<Answer>(await post('/login', body)))
    } catch (error) {
      if (error instanceof AuthClientError && error.code === 'credentials_invalid')
        prompt.known = null
      throw error
    }
  }

  /** The format of a refresh token is `gpr_<session>.<generation>.<mac>`. */
  get generation(): number {
    return Number(this.#refreshToken.split('.')[1])
  }

  async refresh(): Promise<void> {
    const answer = await this.#sendToken(this.#refreshToken)
    this.#refreshToken = answer.refresh_token
    this.#accessToken = answer.access_token
  }

  /** Sends the first refresh token again, as a thief with a copy does. */
  async replayFirstToken(): Promise<void> {
    await this.#sendToken(this.#firstRefreshToken)
  }

  /** Signs out another device of the user. */
  async end(sessionId: string): Promise<void> {
    const response = await fetch(`${issuer}/sessions/${encodeURIComponent(sessionId)}`, {
      method: 'DELETE',
      credentials: 'omit',
      headers: this.#bearer(),
    })
    await jsonOf<void>(response)
  }

  async logout(): Promise<void> {
    await jsonOf<void>(await post('/logout', {}, this.#bearer()))
  }

  /**
   * Returns how long replicas accepted the access token, in milliseconds; null if they still accept
   * it.
   */
  async untilRefused(): Promise<number | null> {
    const startMs = performance.now()
    let [refusals, firstMs] = [0, 0]
    for (;;) {
      const { status } = await fetch(`${issuer}/playground/verifier/verify`, {
        headers: this.#bearer(),
      })
      const nowMs = performance.now()
      if (status === 401) {
        if (refusals === 0) firstMs = nowMs
        refusals += 1
        if (refusals === requiredRefusals) return firstMs - startMs
      } else {
        refusals = 0
        if (nowMs - startMs > refusalTimeoutMs) return null
      }
      await pause(10)
    }
  }

  async #sendToken(token: string): Promise<Answer> {
    return jsonOf<Answer>(await post('/refresh', { refresh_token: token }))
  }

  #bearer(): Record<string, string> {
    return { authorization: `Bearer ${this.#accessToken}` }
  }
}
