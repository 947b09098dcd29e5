import { digest, randomId } from '../../src/core/secrets.ts'
import { setsCookie } from '../../src/issuer/refresh.ts'
import type { RotationOutcome, RotationResult } from '../../src/stores/ports.ts'
import fc from '../support/properties.ts'
import type { RotatingStore } from '../support/rule-store.ts'
import { policy, session, t0 } from '../support/sessions.ts'

/**
 * A browser with up to five tabs that share a cookie, behind a network that delays, duplicates, reorders
 * and loses requests. Events run in the order of their simulated time, on a real store.
 */

const { graceMs } = policy
/** Largest difference between the clocks of two replicas. */
const skewMs = 1_000
const triesMax = 3
/**
 * Longest duration of one part. The grace period must contain, by any clock, all tries of a refresh, each
 * with request, response and pause. It must also contain a request with the replaced token that another
 * tab sent just before the response (request, copy and response).
 */
const partMaxMs = Math.floor((graceMs - skewMs) / (3 * triesMax + 3)) - 1
/**
 * Longest response time if no response is lost: the grace period then contains two responses and the
 * request between them.
 */
const slowMaxMs = Math.floor((graceMs - skewMs) / 2) - partMaxMs - 1
/**
 * Longest delay of a copy whose response nobody reads. The request may have been sent just before the
 * response to another one, which takes two parts; the copy has the rest of the grace period.
 */
const copyMaxMs = graceMs - skewMs - 3 * partMaxMs

/** The Idempotency-Key of a request: none, one that all tabs share during an attempt, or its own. */
export type Keys = 'none' | 'shared' | 'own'

/** A second delivery of a request. */
interface Copy {
  /** Time since the first delivery. */
  readonly afterMs: number
  /** The response that the tab reads. */
  readonly read: 'first' | 'second' | 'both'
}

/** A request and its fate in the network. */
export interface Try {
  readonly requestMs: number
  readonly answerMs: number
  readonly copy: Copy | null
  readonly lost: 'nothing' | 'request' | 'answer'
  /** Pause before the next try. */
  readonly retryAfterMs: number
  /** The issuer that responds. */
  readonly replica: number
}

/** A refresh of a tab. Its last try gets a response. */
export interface Refresh {
  /** Time since the previous refresh of any tab. */
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

/** Tabs that share a key may retry late, as after being offline. */
export const storyOf = (keys: Keys): fc.Arbitrary<Story> => {
  const patient = { ...one, copy: fc.option(fc.oneof(quickCopy, lateCopy)), retryAfterMs: rest }
  const lossy = keys === 'shared' ? patient : one
  return storiesOf(fc.array(fc.record(lossy), { minLength: 1, maxLength: triesMax }))
}

/** No request is lost, but responses are slow. */
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

/** A tab that waits for a response, and its last try. */
interface Wait {
  readonly tab: number
  last: Try | undefined
}

/** A refresh in progress: the shared key, if there is one, and the tabs that wait. */
interface Attempt {
  readonly key: Buffer | null
  readonly waiting: Set<Wait>
}

/** The browser of the owner, which follows docs/http-api.md. */
export class Browser {
  readonly sid = randomId()
  readonly timeline = new Timeline(t0)
  /** The results of the store, in order. */
  readonly results: { presented: number; result: RotationResult }[] = []
  /** The generation in the cookie. */
  held = 0
  readonly #store: RotatingStore
  readonly #keys: Keys
  readonly #clockErrorsMs: readonly number[]
  #attempt: Attempt | null = null
  /** The keys that replayed the newest generation, newest first. */
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

  /** Adds refreshes to the timeline. */
  plan(refreshes: readonly Refresh[]): void {
    let atMs = this.timeline.nowMs
    for (const { restMs, tab, tries } of refreshes) {
      atMs += restMs
      this.timeline.at(atMs, () => this.#send(tab, tries))
    }
  }

  /** Delivers a request now. */
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
    // A tab that waits for a response sends no other request.
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
      // A copy of a replay with a remembered key mints nothing; after the grace period, only the first
      // one. The tab reads what other copies mint, as it may send no further request.
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

  /** A store remembers eight keys. */
  #isRemembered(key: Buffer | null): boolean {
    return key !== null && this.#replayed.slice(0, 8).includes(key)
  }

  /** @param cookie the generation in the cookie of the response; null if it sets none */
  #answered(attempt: Attempt, wait: Wait, cookie: number | null): void {
    this.held = cookie ?? this.held
    attempt.waiting.delete(wait)
    if (attempt.waiting.size === 0 && this.#attempt === attempt) this.#attempt = null
  }
}

/** Runs events in the order of their times, without waiting. */
class Timeline {
  nowMs: number
  readonly #events: { atMs: number; happen: () => unknown }[] = []

  constructor(startMs: number) {
    this.nowMs = startMs
  }

  at(atMs: number, happen: () => unknown): void {
    this.#events.push({ atMs, happen })
  }

  in(delayMs: number, happen: () => unknown): void {
    this.at(this.nowMs + delayMs, happen)
  }

  /** Runs all events. Events of one time run in the order in which they were added. */
  async run(): Promise<void> {
    for (;;) {
      this.#events.sort((a, b) => a.atMs - b.atMs)
      const next = this.#events.shift()
      if (next === undefined) return
      this.nowMs = Math.max(this.nowMs, next.atMs)
      await next.happen()
    }
  }
}
