import type { DeviceSession } from '../../browser/index.ts'
import { button, byId, el, notify, setText } from './dom.ts'
import type { Page } from './page.ts'
import { SecondDevice } from './second-device.ts'

/** The devices that the user is signed in on, each with its end. */
export function startDevicesCard({ auth, feed, password, expectEnd }: Page): void {
  const list = byId('devices')
  let shown = ''
  const show = async () => {
    if (auth.state.status !== 'signed-in') return
    const devices = await auth.sessions()
    const now = JSON.stringify(devices)
    // Whoever is about to press a button does not lose it.
    if (now === shown) return
    shown = now
    setText(byId('device-count'), String(devices.length))
    list.replaceChildren(...devices.map(row))
  }
  const row = (device: DeviceSession) => {
    const name = nameOf(device.user_agent)
    const end = async () => {
      if (device.current) expectEnd('here')
      await auth.endSession(device.session_id)
      await feed.ask()
      await show()
      list.focus()
    }
    return el(
      'li',
      { 'data-session': device.session_id },
      el(
        'div',
        { class: 'device' },
        el('strong', {}, name),
        ...(device.current ? [el('span', { class: 'badge' }, 'this device')] : []),
        el('span', { class: 'since' }, `since ${timeOf(device.created_at)}`),
      ),
      button('Sign out', { class: 'small danger', 'aria-label': labelOf(device, name) }, end),
    )
  }
  auth.onChange(() => show().catch(() => {}))
  feed.onState(({ events }) => {
    if (events.some(({ event }) => /^(login\.ok|logout|session)/.test(event))) {
      show().catch(() => {})
    }
  })
  byId('add-device').replaceWith(
    button('Sign in as another device', { id: 'add-device', class: 'secondary' }, async () => {
      const known = await password()
      if (known === null) return
      await SecondDevice.signIn(known, feed.last?.username ?? '')
      await feed.ask()
      notify('Another device has signed in. Its tokens went nowhere: sign it out here.', 'good')
    }),
  )
}

function labelOf({ current, created_at }: DeviceSession, name: string): string {
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

/** What a person calls a device; the whole text says little more. */
function nameOf(userAgent: string): string {
  const find = (names: readonly (readonly [RegExp, string])[]) =>
    names.find(([pattern]) => pattern.test(userAgent))?.[1]
  const [browser, system] = [find(browsers), find(systems)]
  if (browser === undefined) return userAgent.slice(0, 40) || 'Unnamed device'
  return system === undefined ? browser : `${browser} on ${system}`
}
