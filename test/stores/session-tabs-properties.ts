import type { Test } from 'tap'
import type { RotationOutcome } from '../../src/stores/ports.ts'
import fc from '../support/properties.ts'
import type { RotatingStore } from '../support/rule-store.ts'
import { policy } from '../support/sessions.ts'
import { Browser, type Keys, type Story, slowStory, storyOf, type Try } from './session-tabs.ts'
import { testsWithStore } from './with-store.ts'

const accepted: readonly RotationOutcome[] = ['rotated', 'replayed']

/** Runs a story. Throws if the owner is signed out or gets two successors. */
async function tell(store: RotatingStore, story: Story, keys: Keys): Promise<void> {
  const browser = new Browser(store, keys, story.clockErrorsMs)
  await browser.signIn()
  browser.plan(story.refreshes)
  await browser.timeline.run()
  let newest = 0
  for (const { presented, result } of browser.results) {
    if (!accepted.includes(result.outcome)) throw new Error(`${presented} is ${result.outcome}`)
    const generation = result.session?.generation ?? -1
    if (generation < newest || generation > presented + 1) {
      throw new Error(`${presented} is given ${generation} after ${newest}`)
    }
    newest = generation
  }
}

/** Revokes the session during a story. Throws if any later request finds it live. */
async function staysEnded(store: RotatingStore, story: Story, endsAfterMs: number): Promise<void> {
  const browser = new Browser(store, 'shared', story.clockErrorsMs)
  await browser.signIn()
  browser.plan(story.refreshes)
  let before = 0
  browser.timeline.in(endsAfterMs, async () => {
    await store.revoke(browser.sid, browser.timeline.nowMs, 100 * policy.idleMs)
    before = browser.results.length
  })
  await browser.timeline.run()
  const back = browser.results.slice(before).find(({ result }) => result.outcome !== 'revoked')
  if (back !== undefined) throw new Error(`${back.presented} is ${back.result.outcome}`)
  if ((await store.find(browser.sid, browser.timeline.nowMs)) !== null) throw new Error('it lives')
}

/** A thief copies the cookie and uses it later. Times of uses are relative to the theft. */
interface Theft {
  readonly afterMs: number
  readonly usesMs: readonly number[]
}

async function isFoundOut(store: RotatingStore, story: Story, theft: Theft): Promise<void> {
  const browser = new Browser(store, 'none', story.clockErrorsMs)
  await browser.signIn()
  browser.plan(story.refreshes)
  let stolen = 0
  const use = async () => {
    const { outcome, session } = await browser.deliver(stolen, null)
    if (accepted.includes(outcome)) stolen = session?.generation ?? stolen
    return outcome
  }
  browser.timeline.in(theft.afterMs, () => {
    stolen = browser.held
    for (const useMs of theft.usesMs) browser.timeline.in(useMs, use)
  })
  await browser.timeline.run()
  // Owner and thief refresh once more, each outside the grace period of the other, and then the owner.
  const refresh = async () => {
    browser.timeline.nowMs += 2 * policy.graceMs
    const { outcome, session } = await browser.deliver(browser.held, null)
    if (accepted.includes(outcome)) browser.held = session?.generation ?? browser.held
  }
  await refresh()
  browser.timeline.nowMs += 2 * policy.graceMs
  const outcome = await use()
  if (accepted.includes(outcome)) throw new Error(`the thief's is ${outcome}`)
  await refresh()
  if ((await store.find(browser.sid, browser.timeline.nowMs)) !== null) throw new Error('it lives')
}

const prompt: Try = {
  requestMs: 0,
  answerMs: 0,
  copy: null,
  lost: 'nothing',
  retryAfterMs: 0,
  replica: 0,
}

/**
 * A computer sleeps after a lost response. When it wakes, a retry of one tab succeeds, and right after
 * it arrives the request of another tab, or a copy of the first one.
 */
const wakings: Story[] = [
  [
    { ...prompt, lost: 'answer' as const, retryAfterMs: 60_000 },
    { ...prompt, copy: { afterMs: 600, read: 'both' as const } },
  ],
  [
    { ...prompt, lost: 'answer' as const, retryAfterMs: policy.graceMs - 1 },
    { ...prompt, copy: { afterMs: 600, read: 'both' as const } },
  ],
].map((tries) => ({
  refreshes: [
    { restMs: policy.graceMs, tab: 0, tries },
    { restMs: (tries[0]?.retryAfterMs ?? 0) + 1, tab: 1, tries: [prompt] },
  ],
  clockErrorsMs: [0, 0, 0],
}))

/** Properties of invariant 4 with requests that are late, duplicated and out of order. */
export function sessionTabs(t: Test, open: () => Promise<RotatingStore>, runs: number): void {
  const withStore = testsWithStore(t, open)
  const numRuns = runs

  withStore(
    'property: requests out of order within the grace period sign nobody out',
    (_t, store) =>
      fc.assert(
        fc.asyncProperty(storyOf('none'), (story) => tell(store, story, 'none')),
        { numRuns },
      ),
  )

  withStore('property: requests out of order with their own keys sign nobody out', (_t, store) =>
    fc.assert(
      fc.asyncProperty(storyOf('own'), (story) => tell(store, story, 'own')),
      { numRuns },
    ),
  )

  withStore(
    'property: responses that take nearly half the grace period sign nobody out',
    (_t, store) =>
      fc.assert(
        fc.asyncProperty(slowStory, fc.constantFrom<Keys>('none', 'shared'), (story, keys) =>
          tell(store, story, keys),
        ),
        { numRuns },
      ),
  )

  withStore(
    'property: requests out of order with retries of lost responses sign nobody out',
    (_t, store) =>
      fc.assert(
        fc.asyncProperty(storyOf('shared'), (story) => tell(store, story, 'shared')),
        { numRuns },
      ),
  )

  withStore('counterexample: a copy right after the response to a retry', async (_t, store) => {
    for (const story of wakings) await tell(store, story, 'shared')
  })

  withStore(
    'property: a revoked session stays revoked, whatever requests are in progress',
    (_t, store) =>
      fc.assert(
        fc.asyncProperty(storyOf('shared'), fc.nat(policy.idleMs / 6), (story, endsAfterMs) =>
          staysEnded(store, story, endsAfterMs),
        ),
        { numRuns },
      ),
  )

  const theft = fc.record({
    afterMs: fc.nat(policy.idleMs / 6),
    usesMs: fc.array(fc.oneof(fc.nat(3 * policy.graceMs), fc.nat(policy.idleMs / 6)), {
      maxLength: 6,
    }),
  })
  withStore('property: a thief among late and duplicate requests is detected', (_t, store) =>
    fc.assert(
      fc.asyncProperty(storyOf('none'), theft, (story, theft) => isFoundOut(store, story, theft)),
      { numRuns },
    ),
  )
}
