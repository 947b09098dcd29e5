import type { PlaygroundEvent } from '../api.ts'
import type { Drill, Story } from './drills.ts'
import { readLine } from './line-card.ts'
import type { Page } from './page.ts'
import { issuer, jsonOf } from './server.ts'
import { refreshNow } from './token-card.ts'

const tabs = 5
const marginMs = 300

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
    say('Now as tabs do it that run gatepass/browser: they take turns, and share what they got.')
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
  const answers = await Promise.allSettled(Array.from({ length: tabs }, refresh))
  // The first one may have been under way before the last answer.
  await feed.ask()
  await feed.ask()
  stop()
  const good = answers.filter(({ status }) => status === 'fulfilled').length
  say(`${good} of ${tabs} got an answer.`, good === tabs ? 'good' : 'bad')
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
