import type { Test } from 'tap'
import { digest, randomId } from '../../src/core/secrets.ts'
import type { RotationOutcome } from '../../src/stores/ports.ts'
import fc from '../support/properties.ts'
import type { RotatingStore } from '../support/rule-store.ts'
import { policy, session, t0 } from '../support/sessions.ts'
import { testsWithStore } from './with-store.ts'

/**
 * An owner and a thief use one session. The thief knows every refresh token of the session and acts at
 * any rhythm. The owner refreshes with a new Idempotency-Key each time, at intervals longer than the
 * grace period.
 */

const { graceMs } = policy
const accepted: readonly RotationOutcome[] = ['rotated', 'replayed']

interface ThiefAct {
  /** Time since the previous act. */
  readonly restMs: number
  /** Generations between the token and the newest one. */
  readonly behind: number
  /** Idempotency-Keys of the thief, who may use them repeatedly. */
  readonly key: Buffer | null
}

interface Story {
  readonly ownerRestsMs: readonly number[]
  readonly thief: readonly ThiefAct[]
}

const ownerRestMs = fc.oneof(
  fc.integer({ min: graceMs, max: 4 * graceMs }),
  fc.integer({ min: graceMs, max: policy.idleMs / 20 }),
)
const thiefRestMs = fc.oneof(
  fc.constantFrom(0, 1, graceMs - 1, graceMs, graceMs + 1),
  fc.nat(graceMs),
  fc.nat(4 * graceMs),
)
const thiefAct: fc.Arbitrary<ThiefAct> = fc.record({
  restMs: thiefRestMs,
  behind: fc.constantFrom(0, 0, 1, 1, 1, 2),
  key: fc.constantFrom(digest('thief 1'), digest('thief 1'), digest('thief 2'), null),
})
/** The thief repeats a few acts for longer than the intervals of the owner. */
const thiefActs = fc
  .tuple(fc.array(thiefAct, { minLength: 1, maxLength: 8 }), fc.integer({ min: 1, max: 12 }))
  .map(([acts, times]) => Array.from({ length: times }, () => acts).flat())

const anyStory: fc.Arbitrary<Story> = fc.record({
  ownerRestsMs: fc.array(ownerRestMs, { minLength: 1, maxLength: 12 }),
  thief: thiefActs,
})

/** A session, the results of the store, and the expected state by invariant 4. */
class Theft {
  nowMs = t0
  /** The generation of the owner. */
  held = 0
  /** The newest generation, and the request that minted it. */
  newest = 0
  isMintedByThief = false
  #mintedAtMs = t0
  #mintKey: Buffer | null = null
  #firstRetryAtMs: number | null = null
  #isPresented = false
  readonly #store: RotatingStore
  readonly #sid = randomId()

  constructor(store: RotatingStore) {
    this.#store = store
  }

  async signIn(): Promise<void> {
    const sid = this.#sid
    await this.#store.create(session({ sid, sub: sid, endsAtMs: Number.MAX_SAFE_INTEGER }))
  }

  /** Whether the newest generation was minted within the grace period. */
  get isYoung(): boolean {
    return this.nowMs - this.#mintedAtMs < graceMs
  }

  /** Whether its first retry was within the grace period. */
  get isRetried(): boolean {
    return this.#firstRetryAtMs !== null && this.nowMs - this.#firstRetryAtMs < graceMs
  }

  /** Refreshes as the owner. Returns the outcome. */
  async refreshAsOwner(): Promise<RotationOutcome> {
    const outcome = await this.#rotate(this.held, digest(randomId()), false)
    if (accepted.includes(outcome)) this.held = this.newest
    return outcome
  }

  /** Refreshes as the thief. Returns the outcome. */
  async actAsThief({ behind, key }: ThiefAct): Promise<RotationOutcome> {
    return this.#rotate(Math.max(0, this.newest - behind), key, true)
  }

  isAlive(): Promise<boolean> {
    return this.#store.find(this.#sid, this.nowMs).then((found) => found !== null)
  }

  async #rotate(
    generation: number,
    idempotencyKey: Buffer | null,
    isThief: boolean,
  ): Promise<RotationOutcome> {
    const { nowMs, newest } = this
    const { outcome, session } = await this.#store.rotate({
      sid: this.#sid,
      generation,
      idempotencyKey,
      jkt: null,
      nowMs,
      policy,
    })
    if (outcome === 'rotated') {
      this.isMintedByThief = isThief
      this.newest = session?.generation ?? newest
      this.#mintedAtMs = nowMs
      this.#mintKey = idempotencyKey
      this.#firstRetryAtMs = null
      this.#isPresented = false
    } else if (generation === newest) {
      this.#isPresented = true
    } else if (
      !this.#isPresented &&
      idempotencyKey !== null &&
      this.#mintKey?.equals(idempotencyKey)
    ) {
      this.#firstRetryAtMs ??= nowMs
    }
    return outcome
  }
}

/** Runs a story. Throws if the thief is not detected, or the owner is signed out without a reason. */
async function tell(store: RotatingStore, { ownerRestsMs, thief }: Story): Promise<void> {
  const theft = new Theft(store)
  await theft.signIn()
  let [ownerAtMs, thiefAtMs, acts] = [t0, t0, 0]
  for (const restMs of ownerRestsMs) {
    ownerAtMs += restMs
    for (; acts < thief.length; acts++) {
      const act = thief[acts]
      if (act === undefined || thiefAtMs + act.restMs > ownerAtMs) break
      thiefAtMs += act.restMs
      theft.nowMs = thiefAtMs
      const isStale = act.behind > 0 && theft.newest > 0 && !theft.isMintedByThief && !theft.isYoung
      const outcome = await theft.actAsThief(act)
      if (!accepted.includes(outcome)) return expectEnd(theft)
      if (isStale) throw new Error(`an old token of the thief is ${outcome}`)
    }
    theft.nowMs = ownerAtMs
    const { held, newest, isYoung, isRetried } = theft
    const isOwed = held === newest || (held === newest - 1 && isYoung)
    const isFound = held < newest - 1 || (held === newest - 1 && !isYoung && !isRetried)
    const outcome = await theft.refreshAsOwner()
    if (isFound && outcome !== 'reused') throw new Error(`the owner's ${held} is ${outcome}`)
    if (isOwed && !accepted.includes(outcome)) throw new Error(`the owner's ${held} is ${outcome}`)
    if (!accepted.includes(outcome)) return expectEnd(theft)
  }
}

async function expectEnd(theft: Theft): Promise<void> {
  if (await theft.isAlive()) throw new Error('the session goes on')
}

/**
 * A thief who has minted or received a generation repeats a few requests within the grace period. The
 * owner returns after five grace periods.
 */
interface Polling {
  readonly behind: 0 | 1
  readonly keys: number
  readonly rhythmMs: number
  readonly ownerRestMs: number
}

const polling: fc.Arbitrary<Polling> = fc.record({
  behind: fc.constantFrom(0, 1),
  keys: fc.integer({ min: 1, max: 10 }),
  rhythmMs: fc.integer({ min: graceMs / 10, max: graceMs - 1 }),
  ownerRestMs: fc.integer({ min: 5 * graceMs, max: policy.idleMs / 20 }),
})

async function poll(store: RotatingStore, story: Polling): Promise<void> {
  const { behind, keys, rhythmMs, ownerRestMs } = story
  const theft = new Theft(store)
  await theft.signIn()
  theft.nowMs += graceMs
  const key = (turn: number) => digest(`thief ${turn % keys}`)
  if (behind === 0) await theft.refreshAsOwner()
  await theft.actAsThief({ restMs: 0, behind: 0, key: key(0) })
  const ownerAtMs = theft.nowMs + ownerRestMs
  for (let turn = 1; theft.nowMs + rhythmMs <= ownerAtMs; turn++) {
    theft.nowMs += rhythmMs
    const outcome = await theft.actAsThief({ restMs: rhythmMs, behind, key: key(turn) })
    if (!accepted.includes(outcome)) return expectEnd(theft)
  }
  theft.nowMs = ownerAtMs
  const outcome = await theft.refreshAsOwner()
  if (outcome !== 'reused') throw new Error(`the owner's is ${outcome}`)
  await expectEnd(theft)
}

/** Properties of invariant 4 against a thief, on a real store. */
export function sessionThief(t: Test, open: () => Promise<RotatingStore>, runs: number): void {
  const withStore = testsWithStore(t, open)

  withStore(
    'I12: the first refresh of the owner outside the grace period ends the session',
    (_t, store) =>
      fc.assert(
        fc.asyncProperty(anyStory, (story) => tell(store, story)),
        { numRuns: runs },
      ),
  )

  withStore('I12: nobody hides by repeating one request', (_t, store) =>
    fc.assert(
      fc.asyncProperty(polling, (story) => poll(store, story)),
      { numRuns: runs },
    ),
  )
}
