import { setTimeout as sleep } from 'node:timers/promises'
import { Exchanger } from '../client/exchange.ts'
import { createAsk, triesMax } from '../client/patience.ts'
import { factorAt, type Script } from '../script.ts'
import type { RunningSystem, SurgeContext } from '../system.ts'
import type { Recorder } from './recorder.ts'
import { Visitor } from './visitor.ts'

/** How many users sign in, or look into their carts, at once, where there is no schedule. */
const atOnce = 32
/** The users that a flood is made of. */
const floodUsers = 64
const connections = 256
/** The factor at which every user is active. */
const fullFactor = 10

/** All users, and when each of them does the next thing. */
export class Crowd {
  readonly visitors: readonly Visitor[]
  readonly #exchanger: Exchanger
  readonly #recorder: Recorder
  readonly #busy = new Set<Promise<void>>()
  /** Those in the middle of something. */
  readonly #acting = new Set<Visitor>()
  /** Those who do something else now than what the schedule says. */
  readonly #away = new Set<Visitor>()
  #isOver = false

  constructor(system: RunningSystem, { users, options }: SurgeContext, recorder: Recorder) {
    this.#recorder = recorder
    this.#exchanger = new Exchanger(system.url, connections)
    const products: string[] = []
    const common = { scheme: system.scheme, recorder, products, lossShare: options.lostRefreshes }
    const tries = options.fault === 'impatient' ? 1 : triesMax
    this.visitors = users.map((user, index) => {
      const from = { 'x-forwarded-for': addressOf(index) }
      const ask = createAsk(this.#exchanger, recorder, from, tries)
      return new Visitor(user, { ...common, ask })
    })
    this.#learnProducts = async () => {
      const { text } = await this.#exchanger.send(
        { method: 'GET', path: '/products', isRepeatable: true },
        {},
      )
      const { products: found } = JSON.parse(text) as { products: { id: string }[] }
      products.push(...found.map(({ id }) => id))
    }
  }

  readonly #learnProducts: () => Promise<void>

  /** @throws when somebody can't sign in */
  async signIn(): Promise<void> {
    await this.#learnProducts()
    await inTurns(this.visitors, atOnce, async (visitor) => {
      const refusal = await visitor.signIn()
      if (refusal === null) return
      throw new Error(`${visitor.user.name} can't sign in: ${JSON.stringify(refusal)}`)
    })
  }

  /** As much as the system takes: some users with no pauses. @returns actions a second */
  async flood(durationMs: number): Promise<number> {
    const startMs = performance.now()
    let count = 0
    const endMs = startMs + durationMs
    const one = async (visitor: Visitor) => {
      for (; performance.now() < endMs; count++) await visitor.act(0)
    }
    await Promise.all(this.visitors.slice(-floodUsers).map(one))
    return count / ((performance.now() - startMs) / 1000)
  }

  /** @param thinkMs the mean of the pauses of a user */
  start(script: Script, thinkMs: number): void {
    for (const [index, visitor] of this.visitors.entries()) {
      void this.#live(visitor, index, script, thinkMs)
    }
  }

  /** Does something with a user who is signed in and not in the middle of anything else. */
  async withSomebody(work: (visitor: Visitor) => Promise<void>): Promise<void> {
    const free = this.#somebody()
    if (free === undefined) return
    this.#away.add(free)
    try {
      await work(free)
    } finally {
      this.#away.delete(free)
    }
  }

  /** Who comes first, from anywhere among those who are active at the least load. */
  #somebody(): Visitor | undefined {
    const from = Math.floor((Math.random() * this.visitors.length) / fullFactor)
    const inTurn = [...this.visitors.slice(from), ...this.visitors.slice(0, from)]
    return inTurn.find((one) => one.isSignedIn && !this.#acting.has(one) && !this.#away.has(one))
  }

  /** Resolves when what was begun has ended. */
  async settled(): Promise<void> {
    this.#isOver = true
    while (this.#busy.size > 0) await Promise.all(this.#busy)
  }

  /** Looks into every cart. */
  async checkCarts(): Promise<void> {
    const signedIn = this.visitors.filter((one) => one.isSignedIn)
    await inTurns(signedIn, atOnce, async (visitor) => {
      const dueMs = this.#recorder.nowMs()
      this.#recorder.acted('see cart at the end', dueMs, await visitor.checkCart())
    })
  }

  close(): void {
    this.#exchanger.close()
  }

  /**
   * What is due is due, however long the thing before took: it then begins at once, and its time counts
   * from when it was due.
   */
  async #live(visitor: Visitor, index: number, script: Script, thinkMs: number): Promise<void> {
    let dueMs = Math.random() * thinkMs
    for (;;) {
      await sleep(Math.max(0, dueMs - this.#recorder.nowMs()))
      if (this.#isOver || dueMs >= script.endMs) return
      const isActive = index < (this.visitors.length * factorAt(script, dueMs)) / fullFactor
      if (isActive) {
        await this.#untilBack(visitor)
        this.#acting.add(visitor)
        await this.#track(visitor.act(dueMs))
        this.#acting.delete(visitor)
      }
      dueMs += -Math.log(1 - Math.random()) * thinkMs
    }
  }

  async #untilBack(visitor: Visitor): Promise<void> {
    while (this.#away.has(visitor)) await sleep(10)
  }

  async #track(work: Promise<void>): Promise<void> {
    this.#busy.add(work)
    await work.finally(() => this.#busy.delete(work))
  }
}

/** Each user's own, as issuers count failed logins by it. */
function addressOf(index: number): string {
  return `10.${(index >> 16) & 255}.${(index >> 8) & 255}.${index & 255}`
}

async function inTurns<T>(
  all: readonly T[],
  count: number,
  work: (one: T) => Promise<void>,
): Promise<void> {
  const queue = all.values()
  const worker = async () => {
    for (const one of queue) await work(one)
  }
  await Promise.all(Array.from({ length: count }, worker))
}
