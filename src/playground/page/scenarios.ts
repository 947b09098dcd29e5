import type { PlaygroundEvent } from '../api.ts'
import { SecondDevice } from './devices-card.ts'
import { button, byId, el, messageOf, pause, short } from './dom.ts'
import type { Page } from './page.ts'
import { controls, issuer, jsonOf, Refused } from './server.ts'
import { readLine } from './session-card.ts'
import { refreshNow } from './token-card.ts'

/** The clocks of the page and of the issuer need not agree to the millisecond. */
const marginMs = 300

/** What becomes of a refresh token that was stolen and is used once more. */
export const replayDrill: Drill = {
  id: 'replay',
  label: 'Replay an old token',
  async run({ feed, password }, { say, wait }) {
    const known = await password()
    if (known === null) return say('Without the password there is no second device.')
    const { username = '', grace_s = 0 } = feed.last ?? {}
    const device = await SecondDevice.signIn(known, username)
    say(
      `A second device has signed in. Its refresh token is generation ${device.generation}; a thief copies it.`,
    )
    for (let times = 0; times < 2; times++) {
      await wait('The grace period passes', grace_s * 1000 + marginMs)
      await device.refresh()
      say(
        `The device refreshes: generation ${device.generation} takes the place of the one before.`,
      )
    }
    say('Now the thief presents the old copy, generation 0.')
    try {
      await device.replayFirst()
      say('It was accepted, which must not be.', 'bad')
    } catch (error) {
      const isReuse = error instanceof Refused && error.code === 'refresh_token_reused'
      if (!isReuse) throw error
      say(
        'Refused: refresh_token_reused. Two holders of one line: the issuer ends the session.',
        'good',
      )
    }
    await feed.ask()
    const left = await device.untilRefused()
    say(
      left === null
        ? 'A replica still takes the access token, which must not be.'
        : `${Math.round(left)} ms later no replica takes the access token any more: they have heard of it.`,
      left === null ? 'bad' : 'good',
    )
    say('Owner and thief have to sign in again; only the owner has the password.')
  },
}

const tabCount = 5

/** Five tabs that refresh with one and the same cookie: at odds first, then as they really do. */
export const tabsDrill: Drill = {
  id: 'tabs',
  label: 'Refresh five at once',
  async run(page, story) {
    const { auth } = page
    const { say, wait } = story
    const { grace_left_ms } = await readLine(auth)
    if (grace_left_ms > 0) {
      await wait('The token is new: its grace period passes', grace_left_ms + marginMs)
    }
    const { generation: first } = await readLine(auth)
    say(
      `Five requests leave at once, all with generation ${first}, no lock and no message between them.`,
    )
    await refreshTogether(page, story, refreshAsStranger)
    const { generation: last } = await readLine(auth)
    say(`Generation ${first} has one successor: ${last}.`, last === first + 1 ? 'good' : 'bad')
    say('Now as tabs do it that run @gatepass/browser: they take turns, and share what they got.')
    const sent = await refreshTogether(page, story, refreshNow)
    say(
      `Five tabs, requests sent: ${sent}. Nobody was signed out.`,
      sent === 1 && auth.state.status === 'signed-in' ? 'good' : 'bad',
    )
  },
}

/** @returns how many requests the issuer has got for it */
async function refreshTogether(
  { auth, feed }: Page,
  { say }: Story,
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
  const answers = await Promise.allSettled(Array.from({ length: tabCount }, refresh))
  // The first one may have been under way before the last answer.
  await feed.ask()
  await feed.ask()
  stop()
  const good = answers.filter(({ status }) => status === 'fulfilled').length
  say(`${good} of ${tabCount} got an answer.`, good === tabCount ? 'good' : 'bad')
  const count = (name: string) => outcomes.filter(({ event }) => event === name).length
  say(
    `The issuer says: ${count('refresh.rotated')} rotated, ${count('refresh.replayed')} replayed.`,
  )
  return outcomes.length
}

async function refreshAsStranger(): Promise<void> {
  const response = await fetch(`${issuer}/refresh`, {
    method: 'POST',
    headers: { 'idempotency-key': crypto.randomUUID() },
  })
  await jsonOf<unknown>(response)
}

/** A new signing key, while everybody goes on. */
export const keysDrill: Drill = {
  id: 'keys',
  label: 'Rotate the keys',
  async run({ feed, traffic }, { say, wait }) {
    const failures = traffic.statistics.failures
    const { kid } = await controls.rotateKeys()
    await feed.ask()
    const made = feed.last?.keys.find((key) => key.kid === kid)
    say(
      `Key ${short(kid)} is published. It does not sign yet: first every replica gets to know it.`,
    )
    await wait('Every replica fetches it', (made?.signs_in_s ?? 0) * 1000)
    await feed.until(({ keys }) => keys.some((key) => key.kid === kid && key.state === 'active'))
    const used = kidOf(await refreshNow())
    say(
      `The next access token is signed by ${short(used)} and the old key stays until its last token has expired.`,
      used === kid ? 'good' : 'bad',
    )
    const failed = traffic.statistics.failures - failures
    say(`Requests that failed meanwhile: ${failed}.`, failed === 0 ? 'good' : 'bad')
  },
}

function kidOf(token: string | null): string {
  const [header = ''] = (token ?? '').split('.')
  return (JSON.parse(atob(header.replaceAll('-', '+').replaceAll('_', '/'))) as { kid: string }).kid
}

/** Another device signs this one out; this page, and all its tabs, find out by themselves. */
export const elsewhereDrill: Drill = {
  id: 'elsewhere',
  label: 'Sign me out',
  async run({ auth, feed, password, expectEnd }, { say }) {
    const { state } = auth
    if (state.status !== 'signed-in') return
    const known = await password()
    if (known === null) return say('Without the password there is no second device.')
    const device = await SecondDevice.signIn(known, feed.last?.username ?? '')
    say('Another device has signed in, and signs this one out.')
    expectEnd(performance.now())
    await device.end(state.sessionId)
    await device.logout()
    await feed.ask()
  },
}

/** Tells the steps of a drill as they happen. */
export interface Story {
  say(text: string, kind?: 'good' | 'bad'): void
  /** Waits, and shows for how long. */
  wait(why: string, ms: number): Promise<void>
}

/** One of the things that go wrong in the field, made to happen. */
export interface Drill {
  readonly id: string
  readonly label: string
  run(page: Page, story: Story): Promise<void>
}

const drills: readonly Drill[] = [replayDrill, tabsDrill, keysDrill, elsewhereDrill]

export function startDrills(page: Page): void {
  for (const drill of drills) {
    const steps = byId(`${drill.id}-steps`)
    const run = () => tell(drill, page, steps)
    byId(`run-${drill.id}`).replaceWith(button(drill.label, { id: `run-${drill.id}` }, run))
  }
}

async function tell(drill: Drill, page: Page, steps: HTMLElement): Promise<void> {
  steps.replaceChildren()
  delete steps.dataset.result
  const story: Story = {
    say(text, kind) {
      steps.append(el('li', { class: kind ?? 'plain' }, text))
    },
    async wait(why, ms) {
      const left = el('span', { class: 'countdown', 'aria-hidden': 'true' })
      const step = el('li', { class: 'waiting' }, `${why} `, left)
      steps.append(step)
      const endMs = performance.now() + ms
      for (let leftMs = ms; leftMs > 0; leftMs = endMs - performance.now()) {
        left.textContent = `${Math.ceil(leftMs / 1000)} s`
        await pause(Math.min(250, leftMs))
      }
      left.remove()
      step.className = 'plain'
    },
  }
  try {
    await drill.run(page, story)
    steps.dataset.result = steps.querySelector('.bad') === null ? 'good' : 'bad'
  } catch (error) {
    story.say(messageOf(error), 'bad')
    steps.dataset.result = 'bad'
  }
}
