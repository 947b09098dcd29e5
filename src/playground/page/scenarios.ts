import { AuthClientError } from '../../browser/index.ts'
import type { PlaygroundEvent } from '../api.ts'
import { SecondDevice } from './devices-card.ts'
import { button, byId, el, messageOf, pause, shortId } from './dom.ts'
import type { Page } from './page.ts'
import { controls, issuer, jsonOf } from './server.ts'
import { decodePart, readRefreshToken, refreshNow } from './token-cards.ts'

/** Shows the steps of a scenario while it runs. */
interface Steps {
  say(text: string, kind?: 'good' | 'bad'): void
  /** Waits with a countdown. @param reason what the scenario waits for */
  wait(reason: string, ms: number): Promise<void>
}

/** A failure or an attack that the page plays through. */
interface Scenario {
  /** The prefix of its elements' ids. */
  readonly id: string
  readonly label: string
  run(page: Page, steps: Steps): Promise<void>
}

/** Added to the grace period: the clocks of page and issuer may differ slightly. */
const clockMarginMs = 300

const tabCount = 5

const noPassword = 'Without the password the page cannot sign in a second device.'

/** A thief uses a copy of a refresh token that the owner has replaced. */
const theft: Scenario = {
  id: 'theft',
  label: 'Replay a stolen token',
  async run(page, { say, wait }) {
    const { feed } = page
    const device = await SecondDevice.signIn(page)
    if (device === null) return say(noPassword)
    const { grace_s = 0 } = feed.last ?? {}
    say(
      `A second device signed in. A thief copies its refresh token, generation ${device.generation}.`,
    )
    for (let times = 0; times < 2; times++) {
      await wait(
        `Waiting until the grace period ends: during it a refresh returns the same token.`,
        grace_s * 1000 + clockMarginMs,
      )
      await device.refresh()
      say(`The device refreshed and has generation ${device.generation} now.`)
    }
    say('The thief sends the copy of generation 0.')
    try {
      await device.replayFirstToken()
      say('The issuer accepted the copy. That is a bug.', 'bad')
    } catch (error) {
      const isReuse = error instanceof AuthClientError && error.code === 'refresh_token_reused'
      if (!isReuse) throw error
      say(
        'Refused with refresh_token_reused. Two parties hold the session, so the issuer revoked it.',
        'good',
      )
    }
    await feed.ask()
    say('Waiting until every replica has received the revocation.')
    const acceptedMs = await device.untilRefused()
    say(
      acceptedMs === null
        ? 'A replica still accepts the access token. That is a bug.'
        : `After ${Math.round(acceptedMs)} ms every replica refuses the access token.`,
      acceptedMs === null ? 'bad' : 'good',
    )
    say('Owner and thief must sign in again. Only the owner has the password.')
  },
}

/** Five tabs refresh at once: first without coordination, then with the browser client. */
const tabs: Scenario = {
  id: 'tabs',
  label: 'Refresh in five tabs',
  async run(page, steps) {
    const { auth } = page
    const { say, wait } = steps
    const { grace_left_ms } = await readRefreshToken(auth)
    if (grace_left_ms > 0) {
      await wait(
        'Waiting until the grace period of the current token ends.',
        grace_left_ms + clockMarginMs,
      )
    }
    const { generation: first } = await readRefreshToken(auth)
    say(`Five requests send generation ${first} at the same time, without coordination.`)
    await refreshTogether(page, steps, refreshWithoutClient)
    const { generation: last } = await readRefreshToken(auth)
    say(
      `All five got the same successor of generation ${first}: ${last}.`,
      last === first + 1 ? 'good' : 'bad',
    )
    say('Next, five tabs with @gatepass/browser: one tab refreshes and shares the result.')
    const sent = await refreshTogether(page, steps, refreshNow)
    say(
      `Five tabs sent ${sent} ${sent === 1 ? 'request' : 'requests'}. The user is still signed in.`,
      sent === 1 && auth.state.status === 'signed-in' ? 'good' : 'bad',
    )
  },
}

/** @returns how many refreshes the issuer received */
async function refreshTogether(
  { auth, feed }: Page,
  { say }: Steps,
  refresh: () => Promise<unknown>,
): Promise<number> {
  const outcomes: PlaygroundEvent[] = []
  await feed.ask()
  const { state } = auth
  const own = state.status === 'signed-in' ? state.sessionId : ''
  const stop = feed.onState(({ events }) => {
    outcomes.push(
      ...events.filter(
        ({ event, session_id }) => event.startsWith('refresh.') && session_id === own,
      ),
    )
  })
  const results = await Promise.allSettled(Array.from({ length: tabCount }, refresh))
  // A poll that started before the last response may miss its event.
  await feed.ask()
  await feed.ask()
  stop()
  const good = results.filter(({ status }) => status === 'fulfilled').length
  say(`${good} of ${tabCount} received tokens.`, good === tabCount ? 'good' : 'bad')
  const count = (name: string) => outcomes.filter(({ event }) => event === name).length
  say(
    `The issuer logged ${count('refresh.rotated')} rotated and ${count('refresh.replayed')} replayed.`,
  )
  return outcomes.length
}

async function refreshWithoutClient(): Promise<void> {
  const response = await fetch(`${issuer}/refresh`, {
    method: 'POST',
    headers: { 'idempotency-key': crypto.randomUUID() },
  })
  await jsonOf<unknown>(response)
}

/** The signing key changes while requests continue. */
const keyRotation: Scenario = {
  id: 'keys',
  label: 'Rotate the keys',
  async run({ feed, traffic }, { say, wait }) {
    const failuresBefore = traffic.statistics.failures
    const { kid } = await controls.rotateKeys()
    await feed.ask()
    const created = feed.last?.keys.find((key) => key.kid === kid)
    say(`Key ${shortId(kid)} is published. It does not sign yet.`)
    await wait('Waiting until every replica has fetched it.', (created?.signs_in_s ?? 0) * 1000)
    // If another window rotates the keys, too, no poll may find this key active.
    await feed.until(({ keys }) => keys.some((key) => key.kid === kid && key.state !== 'pending'))
    const used = kidOf(await refreshNow())
    await feed.ask()
    const active = feed.last?.keys.find(({ state }) => state === 'active')
    say(
      `The next access token is signed by ${shortId(used)}. The old key stays published until its last token expires.`,
      [kid, active?.kid].includes(used) ? 'good' : 'bad',
    )
    const failed = traffic.statistics.failures - failuresBefore
    say(`Failed requests during the rotation: ${failed}.`, failed === 0 ? 'good' : 'bad')
  },
}

function kidOf(token: string | null): string {
  const [header = ''] = (token ?? '').split('.')
  return String(decodePart(header).kid)
}

/** Another device signs this browser out. Every tab notices by itself. */
const remoteSignOut: Scenario = {
  id: 'elsewhere',
  label: 'Sign this browser out',
  async run(page, { say }) {
    const { auth, feed } = page
    const { state } = auth
    if (state.status !== 'signed-in') return
    const device = await SecondDevice.signIn(page)
    if (device === null) return say(noPassword)
    say('Another device signed in and ends this session.')
    page.expectSignOut(performance.now())
    await device.end(state.sessionId)
    await device.logout()
    await feed.ask()
  },
}

export function startScenarios(page: Page): void {
  for (const scenario of [theft, tabs, keyRotation, remoteSignOut]) {
    const list = byId(`${scenario.id}-steps`)
    const id = `run-${scenario.id}`
    byId(id).replaceWith(button(scenario.label, { id }, () => run(scenario, page, list)))
  }
}

async function run(scenario: Scenario, page: Page, list: HTMLElement): Promise<void> {
  list.replaceChildren()
  delete list.dataset.result
  const steps = stepsIn(list)
  try {
    await scenario.run(page, steps)
    list.dataset.result = list.querySelector('.bad') === null ? 'good' : 'bad'
  } catch (error) {
    steps.say(messageOf(error), 'bad')
    list.dataset.result = 'bad'
  }
}

function stepsIn(list: HTMLElement): Steps {
  return {
    say(text, kind) {
      list.append(el('li', { class: kind ?? 'plain' }, text))
    },
    async wait(reason, ms) {
      const left = el('span', { class: 'countdown', 'aria-hidden': 'true' })
      const step = el('li', { class: 'waiting' }, `${reason} `, left)
      list.append(step)
      const endMs = performance.now() + ms
      for (let leftMs = ms; leftMs > 0; leftMs = endMs - performance.now()) {
        left.textContent = `${Math.ceil(leftMs / 1000)} s`
        await pause(Math.min(250, leftMs))
      }
      left.remove()
      step.className = 'plain'
    },
  }
}
