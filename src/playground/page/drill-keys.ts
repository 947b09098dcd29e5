import { short } from './dom.ts'
import type { Drill } from './drills.ts'
import { controls } from './server.ts'
import { refreshNow } from './token-card.ts'

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
