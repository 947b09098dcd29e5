import type { Drill } from './drills.ts'
import { SecondDevice } from './second-device.ts'

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
