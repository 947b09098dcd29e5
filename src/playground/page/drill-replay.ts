import type { Drill } from './drills.ts'
import { SecondDevice } from './second-device.ts'
import { Refused } from './server.ts'

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
