import { digest, randomId } from '../../src/core/secrets.ts'
import { setsCookie } from '../../src/issuer/refresh.ts'
import type { RotationResult, SessionStore } from '../../src/stores/ports.ts'
import fc from '../support/properties.ts'
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

/** One request, and what becomes of it. */
export interface Try {
  readonly requestMs: number
  readonly answerMs: number
  /** The network delivers it a second time, so much after the first. */
  readonly copyAfterMs: number | null
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

const one = {
  requestMs: part,
  answerMs: part,
  copyAfterMs: fc.option(part),
  lost: fc.constantFrom('nothing', 'request', 'answer'),
  retryAfterMs: part,
  replica: fc.nat(2),
}

/** @param withKey a client with keys may take its time over a retry: it was offline */
export const storyOf = (withKey: boolean): fc.Arbitrary<Story> => {
  const lossy = withKey ? { ...one, retryAfterMs: rest } : one
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

/** What all tabs know of an attempt that is not over: one key for all that wait. */
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
  readonly #store: SessionStore
  readonly #withKey: boolean
  readonly #clockErrorsMs: readonly number[]
  #attempt: Attempt | null = null

  constructor(store: SessionStore, withKey: boolean, clockErrorsMs: readonly number[]) {
    this.#store = store
    this.#withKey = withKey
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
    this.#attempt ??= { key: this.#withKey ? digest(randomId()) : null, waiting: new Set() }
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
    const arrive = async () => {
      const nowMs = this.#clockMs(one.replica)
      const { outcome, session } = await this.deliver(presented, attempt.key, one.replica)
      const isSet = session !== null && setsCookie(presented, session, { nowMs, graceMs })
      const cookie = isSet ? session.generation : null
      // Not lost is a new token after whose making the tab sends no more: a late copy brought it
      // about, and the tab may have an answer already, by which the old one is still good.
      const isLast = outcome === 'rotated' && wait.last !== one
      if (lost === 'answer' && !isLast) return
      this.timeline.in(one.answerMs, () => this.#answered(attempt, wait, cookie))
    }
    if (lost !== 'request') {
      this.timeline.in(one.requestMs, arrive)
      if (one.copyAfterMs !== null) this.timeline.in(one.requestMs + one.copyAfterMs, arrive)
    }
    if (lost !== 'nothing') {
      const waitMs = one.requestMs + one.answerMs + one.retryAfterMs
      this.timeline.in(waitMs, () => this.#try(attempt, wait, more))
    }
  }

  /** @param cookie what the answer puts into the jar, whatever is there; null when it sets none */
  #answered(attempt: Attempt, wait: Wait, cookie: number | null): void {
    this.held = cookie ?? this.held
    attempt.waiting.delete(wait)
    if (attempt.waiting.size === 0 && this.#attempt === attempt) this.#attempt = null
  }
}
