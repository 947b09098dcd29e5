import type { Test } from 'tap'
import { digest, randomId } from '../../src/core/secrets.ts'
import type { RotationResult, Session } from '../../src/stores/ports.ts'
import fc from '../support/properties.ts'
import type { RotatingStore } from '../support/rule-store.ts'
import { policy, session, t0 } from '../support/sessions.ts'
import { sessionTabs } from './session-tabs-properties.ts'
import { sessionThief } from './session-thief.ts'

/**
 * Simulates a session: an honest client with several tabs, a network that delays, duplicates and loses
 * requests, issuer replicas whose clocks differ, and a store that may fail over. Events run in the order
 * of their simulated time, on a real store.
 */

const graceMs = policy.graceMs
const skewMs = 1_000
/** Longest round trip that is safe for a client without keys. */
const delayMaxMs = graceMs - 2 * skewMs
/** Short enough that no session expires. */
const restMaxMs = policy.idleMs / 20

/** A refresh of a tab and its fate in the network. */
interface Trip {
  /** Time since the previous refresh. */
  readonly restMs: number
  readonly requestMs: number
  readonly answerMs: number
  /** Time until the network delivers the request again, if it does. */
  readonly doubledAfterMs: number | null
  readonly isAnswerLost: boolean
  /** The replica that responds. */
  readonly replica: number
  /** Other tabs that send the same token at the same time. */
  readonly tabs: number
  /** Writes that a fail-over before the request loses. */
  readonly writesLost: number
}

const share = (max: number) => fc.nat({ max: Math.floor(max) })

const trip = (changes: Partial<Record<keyof Trip, fc.Arbitrary<unknown>>> = {}) =>
  fc.record({
    restMs: fc.oneof(share(3 * graceMs), share(restMaxMs)),
    requestMs: share(delayMaxMs / 3),
    answerMs: share(delayMaxMs / 3),
    doubledAfterMs: fc.option(share(delayMaxMs / 3)),
    isAnswerLost: fc.constant(false),
    replica: share(2),
    tabs: share(4),
    writesLost: fc.constant(0),
    ...changes,
  }) as fc.Arbitrary<Trip>

/** Restores an older state of a session, as a fail-over does. */
export type RollBack = (session: Session) => Promise<unknown>

class World {
  readonly #store: RotatingStore
  readonly #rollBack: RollBack | null
  readonly #sid = randomId()
  readonly #clockErrorsMs: readonly number[]
  /** All states of the session, newest last. */
  readonly #states: Session[] = []
  #held = 0
  #pendingKey: Buffer | null = null
  #nowMs = t0
  readonly generations = new Set<number>()

  constructor(store: RotatingStore, rollBack: RollBack | null, clockErrorsMs: readonly number[]) {
    this.#store = store
    this.#rollBack = rollBack
    this.#clockErrorsMs = clockErrorsMs
  }

  async signIn(): Promise<void> {
    const first = session({ sid: this.#sid, sub: this.#sid, endsAtMs: Number.MAX_SAFE_INTEGER })
    await this.#store.create(first)
    this.#states.push(first)
  }

  /** Refreshes in all open tabs. Throws if the client is signed out. */
  async refresh(trip: Trip, withKey: boolean): Promise<void> {
    this.#nowMs += trip.restMs
    if (trip.writesLost > 0) await this.#failOver(trip.writesLost)
    if (withKey) this.#pendingKey ??= digest(randomId())
    const generation = this.#held
    const atMs = this.#nowMs + trip.requestMs
    const sendAll = Array.from({ length: 1 + trip.tabs }, () => this.#send(generation, atMs, trip))
    const answers = await Promise.all(sendAll)
    if (trip.doubledAfterMs !== null) {
      answers.push(await this.#send(generation, atMs + trip.doubledAfterMs, trip))
    }
    this.#nowMs = atMs + (trip.doubledAfterMs ?? 0) + trip.answerMs
    if (trip.isAnswerLost) return
    // Responses arrive in any order, and the last one counts.
    for (const { session } of answers) this.#held = session?.generation ?? this.#held
    this.#pendingKey = null
  }

  /** Sends a request. Throws if the client is signed out. */
  async #send(generation: number, atMs: number, { replica }: Trip): Promise<RotationResult> {
    const result = await this.#store.rotate({
      sid: this.#sid,
      generation,
      idempotencyKey: this.#pendingKey,
      jkt: null,
      nowMs: atMs + (this.#clockErrorsMs[replica] ?? 0),
      policy,
    })
    if (result.session === null || !['rotated', 'replayed'].includes(result.outcome)) {
      throw new Error(`signed out: ${generation} is ${result.outcome}`)
    }
    this.#states.push(result.session)
    return result
  }

  async #failOver(writesLost: number): Promise<void> {
    const state = this.#states.at(-1 - writesLost) ?? this.#states[0]
    if (state !== undefined) await this.#rollBack?.(state)
  }
}

const clockErrors = fc.tuple(
  ...[0, 1, 2].map(() => fc.integer({ min: -skewMs / 2, max: skewMs / 2 })),
)

/**
 * Tests properties of invariant 4 on a real store.
 * @param rollBack restores an older state, for a store that can lose writes
 */
export function sessionWorld(
  t: Test,
  open: () => Promise<{ store: RotatingStore; rollBack: RollBack | null }>,
  { runs = 30 } = {},
): void {
  sessionTabs(t, async () => (await open()).store, runs)
  sessionThief(t, async () => (await open()).store, runs)

  async function holds(
    t: Test,
    trips: fc.Arbitrary<Trip[]>,
    withKey: boolean,
    canRollBack = false,
  ): Promise<void> {
    const { store, rollBack } = await open()
    t.teardown(() => store.close())
    if (canRollBack && rollBack === null) return void t.pass('nothing can be rolled back here')
    await fc.assert(
      fc.asyncProperty(trips, clockErrors, async (trips, errors) => {
        const world = new World(store, rollBack, errors)
        await world.signIn()
        for (const one of trips) await world.refresh(one, withKey)
      }),
      { numRuns: runs },
    )
    t.pass('nobody was signed out')
  }

  t.test('property: tabs, delays and duplicates within the grace period sign nobody out', (t) =>
    holds(t, fc.array(trip(), { maxLength: 15 }), false),
  )

  t.test('property: retries with the key sign nobody out, however late', (t) => {
    const lost = trip({ isAnswerLost: fc.boolean() })
    return holds(t, fc.array(lost, { maxLength: 15 }), true)
  })

  t.test('property: a fail-over that loses the last writes signs nobody out', (t) => {
    const failing = trip({ writesLost: share(5) })
    return holds(t, fc.array(failing, { maxLength: 15 }), false, true)
  })

  t.test('property: a thief with any older token and the owner do not both continue', async (t) => {
    const { store } = await open()
    t.teardown(() => store.close())
    const restMs = fc.integer({ min: graceMs, max: restMaxMs })
    const story = fc.record({
      before: fc.array(restMs, { minLength: 1, maxLength: 6 }),
      stolen: fc.nat(6),
      after: fc.array(fc.tuple(fc.boolean(), restMs), { minLength: 1, maxLength: 12 }),
    })
    await fc.assert(
      fc.asyncProperty(story, async ({ before, stolen, after }) => {
        const sid = randomId()
        await store.create(session({ sid, sub: sid, endsAtMs: Number.MAX_SAFE_INTEGER }))
        let nowMs = t0
        const held = { owner: 0, thief: 0 }
        const refresh = async (who: keyof typeof held, restMs: number) => {
          nowMs += restMs
          const result = await store.rotate({
            sid,
            generation: held[who],
            idempotencyKey: null,
            jkt: null,
            nowMs,
            policy,
          })
          held[who] = result.session?.generation ?? held[who]
          return result.outcome
        }
        for (const rest of before) await refresh('owner', rest)
        held.thief = Math.min(stolen, held.owner)
        const seen = { owner: false, thief: false }
        for (const [isThief, rest] of after) {
          const who = isThief ? 'thief' : 'owner'
          const outcome = await refresh(who, rest)
          // Both have refreshed, each outside the grace period of the other, so one was detected.
          if (seen[isThief ? 'owner' : 'thief'] && seen[who] === false) {
            seen[who] = true
            if (outcome === 'rotated') return false
          }
          seen[who] = true
          if (outcome === 'reused') {
            const next = await refresh('owner', rest)
            return next === 'revoked' && (await store.find(sid, nowMs)) === null
          }
        }
        return !(seen.owner && seen.thief)
      }),
      { numRuns: runs },
    )
    t.pass('one of them was found out')
  })
}
