import { setTimeout as sleep } from 'node:timers/promises'
import { createAgent, exchange, inTurns } from '../harness/http.ts'
import { userName } from '../issuer.ts'
import { createAsk } from './client.ts'
import type { Fleet } from './fleet.ts'
import type { Recorder } from './recorder.ts'
import { factorAt, type Script } from './script.ts'
import type { SurgeOptions } from './system.ts'
import { Visitor } from './visitor.ts'

/** Concurrent sign-ins and cart reads outside the schedule. */
const atOnce = 32
const floodUsers = 64
const connections = 256
/** The load at which every user is active. */
const fullFactor = 10

/** All users of a system, and their connections. */
export class Crowd {
  readonly #url: string
  readonly #agent = createAgent(connections)
  readonly #recorder: Recorder
  readonly #visitors: readonly Visitor[]
  readonly #products: string[] = []
  readonly #busy = new Set<Promise<unknown>>()
  /** Users with an action in progress. A user does one thing at a time. */
  readonly #acting = new Set<Visitor>()
  #isOver = false

  constructor({ url, scheme }: Fleet, options: SurgeOptions, recorder: Recorder) {
    this.#url = url
    this.#recorder = recorder
    const { lossShare } = options
    const common = { scheme, recorder, products: this.#products, lossShare }
    this.#visitors = Array.from({ length: options.users }, (_, index) => {
      // A separate address per user, because issuers count failed logins by address.
      const from = { 'x-forwarded-for': `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}` }
      const ask = createAsk((call) =>
        exchange(url, this.#agent, { ...call, headers: { ...from, ...call.headers } }),
      )
      return new Visitor(userName(index), { ...common, ask })
    })
  }

  /** @throws if a user cannot sign in */
  async signIn(): Promise<void> {
    const ask = createAsk((call) => exchange(this.#url, this.#agent, call))
    const { body } = await ask({ method: 'GET', path: '/products' })
    const { products } = body as { products: { id: string }[] }
    this.#products.push(...products.map(({ id }) => id))
    await inTurns(this.#visitors, atOnce, async (visitor) => {
      const refusal = await visitor.signIn()
      if (refusal === null) return
      throw new Error(`${visitor.name} can't sign in: ${JSON.stringify(refusal)}`)
    })
  }

  /** Lets some users act without pauses. @returns the number of actions that succeeded */
  async flood(durationMs: number): Promise<number> {
    const endMs = performance.now() + durationMs
    let count = 0
    const flood = async (visitor: Visitor) => {
      while (performance.now() < endMs) if (await visitor.act(0)) count++
    }
    await Promise.all(this.#visitors.slice(-floodUsers).map(flood))
    return count
  }

  /** Starts all users. @param thinkMs the mean pause between the actions of a user */
  start(script: Script, thinkMs: number): void {
    for (const [index, visitor] of this.#visitors.entries()) {
      void this.#run(visitor, index / this.#visitors.length, script, thinkMs)
    }
  }

  /** Runs work with a user who is signed in and has no action in progress, if there is one. */
  async withIdleUser(work: (visitor: Visitor) => Promise<void>): Promise<void> {
    // A random user among those who are active at the lowest load.
    const from = Math.floor((Math.random() * this.#visitors.length) / fullFactor)
    const all = [...this.#visitors.slice(from), ...this.#visitors.slice(0, from)]
    const idle = all.find((one) => one.isSignedIn && !this.#acting.has(one))
    if (idle !== undefined) await this.#occupy(idle, work(idle))
  }

  /** Resolves when all started actions have ended. */
  async settled(): Promise<void> {
    this.#isOver = true
    while (this.#busy.size > 0) await Promise.all(this.#busy)
  }

  async checkCarts(): Promise<void> {
    const signedIn = this.#visitors.filter((one) => one.isSignedIn)
    await inTurns(signedIn, atOnce, async (visitor) => {
      const dueMs = this.#recorder.nowMs()
      this.#recorder.acted('see cart at the end', dueMs, await visitor.checkCart())
    })
  }

  close(): void {
    this.#agent.destroy()
  }

  /**
   * Runs the actions of a user. Each is due at a time that does not depend on the previous action. If the
   * user is still busy then, the latency of the action includes the delay.
   * @param place of the user among all users, from 0 to below 1: a user with a low place is active at low load
   */
  async #run(visitor: Visitor, place: number, script: Script, thinkMs: number): Promise<void> {
    for (let dueMs = Math.random() * thinkMs; dueMs < script.endMs; dueMs += pauseOf(thinkMs)) {
      await sleep(Math.max(0, dueMs - this.#recorder.nowMs()))
      if (this.#isOver) return
      if (place >= factorAt(script, dueMs) / fullFactor) continue
      while (this.#acting.has(visitor)) await sleep(10)
      await this.#occupy(visitor, visitor.act(dueMs))
    }
  }

  async #occupy(visitor: Visitor, work: Promise<unknown>): Promise<void> {
    this.#acting.add(visitor)
    this.#busy.add(work)
    await work.finally(() => {
      this.#acting.delete(visitor)
      this.#busy.delete(work)
    })
  }
}

/** Returns an exponential pause. */
function pauseOf(meanMs: number): number {
  return -Math.log(1 - Math.random()) * meanMs
}
