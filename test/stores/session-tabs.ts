import { digest, randomId } from '../../src/core/secrets.ts'
import { setsCookie } from '../../src/issuer/refresh.ts'
import type { RotationOutcome, RotationResult } from '../../src/stores/ports.ts'
import fc from '../support/properties.ts'
import type { RotatingStore } from '../support/rule-store.ts'
import { policy, session, t0 } from '../support/sessions.ts'
import { Timeline } from '../support/timeline.ts'

/**
 * A browser with up to five tabs that share a cookie, behind a network that delays each request by
 * itself: late, twice, behind a later one of another tab, or never. What it calls is in the order of
 * its events in time; the store is a real one.
 */

const { graceMs } = policy
/** How far the clocks of two replicas are apart at the most. */
const skewMs = 1_000
const triesMax = 3
/**
 * The longest that anything takes. A token is replaced in the store, lost on its way back by all
 * tries but the last (each goes, comes back and waits), and then a tab that sent it just before it
 * knew sends it again (goes, is copied, and comes back): all of that fits into grace, by whichever
 * clocks.
 */
const partMaxMs = Math.floor((graceMs - skewMs) / (3 * triesMax + 3)) - 1
/**
 * The longest that an answer takes where none is lost: as above, but there are only the two answers,
 * and the request between them. It is a little under half of grace.
 */
const slowMaxMs = Math.floor((graceMs - skewMs) / 2) - partMaxMs - 1
/**
 * The latest that a copy comes whose answer nobody reads. A tab may have sent the request just before
 * it knew the answer to another, which takes two parts; the rest of the grace period is the copy's.
 */
const copyMaxMs = graceMs - skewMs - 3 * partMaxMs

/** Whose Idempotency-Key a request has: none, that of an attempt of all tabs, or its own. */
export type Keys = 'none' | 'shared' | 'own'

/** A second delivery of a request by the network. */
interface Copy {
  /** How long after the first. */
  readonly afterMs: number
  /** Which answer the tab reads. */
  readonly read: 'first' | 'second' | 'both'
}

/** One request, and what becomes of it. */
export interface Try {
  readonly requestMs: number
  readonly answerMs: number
  readonly copy: Copy | null
  readonly lost: 'nothing' | 'request' | 'answer'
  /** How long the tab then waits before it tries again. */
  readonly retryAfterMs: number
  /** Which issuer answers. */
  readonly replica: number
}

/** One refresh of a tab: it tries until it is answered, as the last try is. */
export interface Refresh {
  /** How long after the refresh before, of whichever tab. */
  readonly restMs: number
  readonly tab: number
  readonly tries: readonly Try[]
}

export interface Story {
  readonly refreshes: readonly Refresh[]
  readonly clockErrorsMs: readonly number[]
}

const part = fc.integer({ min: 0, max: partMaxMs })
const slow = fc.integer({ min: 0, max: slowMaxMs })
const rest = fc.oneof(part, fc.nat(2 * graceMs), fc.nat(policy.idleMs / 60))

const quickCopy = fc.record({
  afterMs: part,
  read: fc.constantFrom<Copy['read']>('first', 'second', 'both'),
})
const lateCopy = fc.record({
  afterMs: fc.integer({ min: 0, max: copyMaxMs }),
  read: fc.constant<Copy['read']>('first'),
})

const one = {
  requestMs: part,
  answerMs: part,
  copy: fc.option(quickCopy),
  lost: fc.constantFrom('nothing', 'request', 'answer'),
  retryAfterMs: part,
  replica: fc.nat(2),
}

/** Tabs that share a key may take their time over a retry: they were offline. */
export const storyOf = (keys: Keys): fc.Arbitrary<Story> => {
  const patient = { ...one, copy: fc.option(fc.oneof(quickCopy, lateCopy)), retryAfterMs: rest }
  const lossy = keys === 'shared' ? patient : one
  return storiesOf(fc.array(fc.record(lossy), { minLength: 1, maxLength: triesMax }))
}

/** Nothing is lost, but answers take their time. */
export const slowStory: fc.Arbitrary<Story> = storiesOf(
  fc.tuple(fc.record({ ...one, answerMs: slow, lost: fc.constant('nothing') })),
)

function storiesOf(tries: fc.Arbitrary<unknown[]>): fc.Arbitrary<Story> {
  const refresh = fc.record({
    restMs: rest,
    tab: fc.nat(4),
    tries: tries as fc.Arbitrary<Try[]>,
  })
  const error = fc.integer({ min: -skewMs / 2, max: skewMs / 2 })
  return fc.record({
    refreshes: fc.array(refresh, { minLength: 1, maxLength: 20 }),
    clockErrorsMs: fc.tuple(error, error, error),
  })
}

/** A tab that waits for an answer, and the last try it has sent. */
interface Wait {
  readonly tab: number
  last: Try | undefined
}

/** What all tabs know of an attempt that is not over: the key, if all that wait share one. */
interface Attempt {
  readonly key: Buffer | null
  readonly waiting: Set<Wait>
}

/** The browser of the owner, who follows docs/http-api.md. */
export class Browser {
  readonly sid = randomId()
  readonly timeline = new Timeline(t0)
  /** Each answer of the store, in its order. */
  readonly results: { presented: number; result: RotationResult }[] = []
  /** The generation in the cookie. */
  held = 0
  readonly #store: RotatingStore
  readonly #keys: Keys
  readonly #clockErrorsMs: readonly number[]
  #attempt: Attempt | null = null
  /** The keys that presented the newest generation and were answered with it, the last one first. */
  #replayed: Buffer[] = []

  constructor(store: RotatingStore, keys: Keys, clockErrorsMs: readonly number[]) {
    this.#store = store
    this.#keys = keys
    this.#clockErrorsMs = clockErrorsMs
  }

  async signIn(): Promise<void> {
    const { sid } = this
    await this.#store.create(session({ sid, sub: sid, endsAtMs: Number.MAX_SAFE_INTEGER }))
  }

  /** Puts all that the tabs do from now on into the timeline. */
  plan(refreshes: readonly Refresh[]): void {
    let atMs = this.timeline.nowMs
    for (const { restMs, tab, tries } of refreshes) {
      atMs += restMs
      this.timeline.at(atMs, () => this.#send(tab, tries))
    }
  }

  /** What comes of a request when it is delivered now. */
  async deliver(generation: number, idempotencyKey: Buffer | null, replica = 0) {
    const result = await this.#store.rotate({
      sid: this.sid,
      generation,
      idempotencyKey,
      jkt: null,
      nowMs: this.#clockMs(replica),
      policy,
    })
    this.results.push({ presented: generation, result })
    return result
  }

  #clockMs(replica: number): number {
    return this.timeline.nowMs + (this.#clockErrorsMs[replica] ?? 0)
  }

  #send(tab: number, tries: readonly Try[]): void {
    const isShared = this.#keys === 'shared'
    this.#attempt ??= { key: isShared ? digest(randomId()) : null, waiting: new Set() }
    const { waiting } = this.#attempt
    // A tab that waits for an answer does not ask again.
    if ([...waiting].some((wait) => wait.tab === tab)) return
    const wait = { tab, last: undefined }
    waiting.add(wait)
    this.#try(this.#attempt, wait, tries)
  }

  #try(attempt: Attempt, wait: Wait, [one, ...more]: readonly Try[]): void {
    if (one === undefined) return
    wait.last = one
    const presented = this.held
    const lost = more.length === 0 ? 'nothing' : one.lost
    const key = this.#keys === 'own' ? digest(randomId()) : attempt.key
    let isFirst = true
    const arrive = async ({ isCopy, isRead }: { isCopy: boolean; isRead: boolean }) => {
      const nowMs = this.#clockMs(one.replica)
      const isPromised = isFirst && this.#isRemembered(key)
      const { outcome, session } = await this.deliver(presented, key, one.replica)
      this.#note(presented, key, outcome)
      isFirst &&= [null, nowMs].includes(session?.lateReplayAtMs ?? null)
      const isSet = session !== null && setsCookie(presented, session, { nowMs, graceMs })
      const cookie = isSet ? session.generation : null
      // A copy of a replay mints nothing, if its key is remembered; of replays after the grace period
      // that is true of the first. What another copy mints is read here: the tab may ask no more.
      const isMinted = outcome === 'rotated' && isCopy
      if (isMinted && isPromised) throw new Error(`a copy with ${presented} mints`)
      if (!isMinted && (lost === 'answer' || !isRead)) return
      this.timeline.in(one.answerMs, () => this.#answered(attempt, wait, cookie))
    }
    if (lost !== 'request') {
      const { requestMs, copy } = one
      this.timeline.in(requestMs, () => arrive({ isCopy: false, isRead: copy?.read !== 'second' }))
      if (copy !== null) {
        const arriveAgain = () => arrive({ isCopy: true, isRead: copy.read !== 'first' })
        this.timeline.in(requestMs + copy.afterMs, arriveAgain)
      }
    }
    if (lost !== 'nothing') {
      const waitMs = one.requestMs + one.answerMs + one.retryAfterMs
      this.timeline.in(waitMs, () => attempt.waiting.has(wait) && this.#try(attempt, wait, more))
    }
  }

  #note(presented: number, key: Buffer | null, outcome: RotationOutcome): void {
    if (outcome === 'rotated') this.#replayed = []
    const newest = Math.max(...this.results.map(({ result }) => result.session?.generation ?? 0))
    if (key === null || outcome !== 'replayed' || presented !== newest) return
    if (!this.#isRemembered(key)) this.#replayed.unshift(key)
  }

  /** Eight keys are. */
  #isRemembered(key: Buffer | null): boolean {
    return key !== null && this.#replayed.slice(0, 8).includes(key)
  }

  /** @param cookie what the answer puts into the jar, whatever is there; null when it sets none */
  #answered(attempt: Attempt, wait: Wait, cookie: number | null): void {
    this.held = cookie ?? this.held
    attempt.waiting.delete(wait)
    if (attempt.waiting.size === 0 && this.#attempt === attempt) this.#attempt = null
  }
}
