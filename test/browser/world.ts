import { Client } from '../../src/browser/client.ts'
import type { Platform } from '../../src/browser/platform.ts'
import type { AuthClientOptions } from '../../src/browser/types.ts'
import { type FakeAnswer, FakeIssuer } from './fake-issuer.ts'

export const issuerUrl = 'https://auth.example.com'

/** The fate of a request: it never arrives, its response or the body is lost, or it arrives twice. */
export type Fate = 'fine' | 'request lost' | 'answer lost' | 'body lost' | 'copied'

/** How much later the second copy of a request arrives. Nobody reads its answer. */
const copyAfterMs = 4_000

interface Timer {
  readonly atMs: number
  readonly run: () => void
}

/** Runs everything that waits for no timer. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate)
}

function brokenStream(): ReadableStream {
  return new ReadableStream({ start: (stream) => stream.error(new TypeError('it breaks off')) })
}

/** A browser with one origin, its tabs, a network and an issuer, on a fake clock. */
export class World {
  nowMs = Date.UTC(2026, 0, 1)
  /** The error of the machine's wall clock. */
  wallOffMs = 0
  /** How long the machine has slept. The monotonic clock did not count this time. */
  sleptMs = 0
  latencyMs = 20
  fate: (request: Request) => Fate = () => 'fine'
  hasLocks = true
  /** How long a tab keeps the lock after its work: 1,000 in hidden tabs, whose timers are throttled. */
  lockKeptMs = 50
  hasStorage = true
  cookie: string | null = null
  readonly issuer: FakeIssuer
  readonly items = new Map<string, string>()
  readonly tabs = new Set<Tab>()
  readonly queue: { tab: Tab; begin: () => void }[] = []
  holder: Tab | null = null
  #timers: Timer[] = []

  constructor(graceMs?: number) {
    this.issuer = new FakeIssuer(() => this.nowMs, graceMs)
  }

  open(options: Partial<AuthClientOptions> = {}): Tab {
    const tab = new Tab(this, options)
    this.tabs.add(tab)
    return tab
  }

  after(ms: number, run: () => void): void {
    this.#timers.push({ atMs: this.nowMs + ms, run })
  }

  /** Advances the clock and runs the timers of that time in order. */
  async advance(ms: number): Promise<void> {
    const endMs = this.nowMs + ms
    for (;;) {
      await settle()
      const [next] = this.#timers.sort((a, b) => a.atMs - b.atMs)
      if (!next || next.atMs > endMs) break
      this.#timers.shift()
      this.nowMs = Math.max(this.nowMs, next.atMs)
      next.run()
    }
    this.nowMs = endMs
    await settle()
  }

  /** Advances the clock until a promise is settled. */
  async until<T>(promise: Promise<T>, msMax = 120_000): Promise<T> {
    let isSettled = false
    const done = () => {
      isSettled = true
    }
    promise.then(done, done)
    for (let ms = 0; !isSettled && ms < msMax; ms += 10) await this.advance(10)
    if (!isSettled) throw new Error('the promise is never settled')
    return promise
  }

  /** Gives the lock to the next tab. */
  passOn(): void {
    const next = this.queue.shift()
    this.holder = next?.tab ?? null
    next?.begin()
  }
}

export class Tab {
  readonly client: Client
  /** The states that the listener received: `signed-in`, `signed-out`. */
  readonly heard: string[] = []
  wake: (wasAway: boolean) => void = () => {}
  readonly #world: World
  #receive: (message: unknown) => void = () => {}
  #isDead = false
  #backlog: (() => void)[] | null = null
  #memory: string | null = null

  constructor(world: World, options: Partial<AuthClientOptions>) {
    this.#world = world
    this.client = new Client({ issuer: issuerUrl, ...options }, this.#platform())
    this.client.onChange(({ status }) => this.heard.push(status))
  }

  kill(): void {
    const world = this.#world
    this.#isDead = true
    world.tabs.delete(this)
    const left = world.queue.filter(({ tab }) => tab !== this)
    world.queue.splice(0, Number.POSITIVE_INFINITY, ...left)
    if (world.holder === this) world.passOn()
  }

  freeze(): void {
    this.#backlog ??= []
  }

  thaw(): void {
    const backlog = this.#backlog ?? []
    this.#backlog = null
    for (const run of backlog) run()
  }

  receive(message: unknown): void {
    this.#deliver(() => this.#receive(message))
  }

  #deliver(run: () => void): void {
    if (this.#isDead) return
    if (this.#backlog) this.#backlog.push(run)
    else run()
  }

  #platform(): Platform {
    const world = this.#world
    return {
      fetch: (request) => this.#fetch(request),
      wallMs: () => world.nowMs + world.wallOffMs,
      monotonicMs: () => world.nowMs - world.sleptMs,
      random: Math.random,
      pause: (ms) =>
        new Promise((resolve) => world.after(ms, () => this.#deliver(() => resolve()))),
      item: (name) => ({
        get: () => (world.hasStorage ? (world.items.get(name) ?? null) : this.#memory),
        set: (value) => {
          if (!world.hasStorage) this.#memory = value
          else if (value === null) world.items.delete(name)
          else world.items.set(name, value)
        },
      }),
      withLock: (_name, maxWaitMs, work) => this.#withLock(maxWaitMs, work),
      channel: (_name, receive) => {
        this.#receive = receive
        const post = (message: unknown) => {
          const text = JSON.stringify(message)
          for (const tab of world.tabs) {
            if (tab !== this) world.after(1, () => tab.receive(JSON.parse(text)))
          }
        }
        return { post, close: () => {} }
      },
      onWake: (listener) => {
        this.wake = listener
        return () => {}
      },
    }
  }

  async #withLock<T>(maxWaitMs: number, work: () => Promise<T>): Promise<T> {
    const world = this.#world
    if (!world.hasLocks) return work()
    if (world.holder === null) world.holder = this
    else {
      await new Promise<void>((begin) => {
        const place = { tab: this, begin }
        world.queue.push(place)
        world.after(maxWaitMs, () => {
          const index = world.queue.indexOf(place)
          if (index < 0) return
          world.queue.splice(index, 1)
          world.holder = this
          begin()
        })
      })
    }
    try {
      return await work()
    } finally {
      world.after(world.lockKeptMs, () => {
        if (world.holder === this) world.passOn()
      })
    }
  }

  async #fetch(request: Request): Promise<Response> {
    const world = this.#world
    const { cookie, latencyMs } = world
    const fate = world.fate(request)
    const body = await request.text()
    return new Promise((resolve, reject) => {
      const fail = () => this.#deliver(() => reject(new TypeError('the network failed')))
      const arrive = (answer: FakeAnswer) => {
        if (answer.cookie !== undefined) world.cookie = answer.cookie
        const { status } = answer
        const headers = { date: new Date(world.nowMs).toUTCString(), ...answer.headers }
        const text = answer.body === undefined ? null : JSON.stringify(answer.body)
        const body = fate === 'body lost' ? brokenStream() : text
        this.#deliver(() => resolve(new Response(body, { status, headers })))
      }
      world.after(latencyMs, () => {
        if (fate === 'request lost') return fail()
        const arrived = {
          method: request.method,
          path: request.url.slice(issuerUrl.length),
          cookie: request.credentials === 'include' ? cookie : null,
          token: request.headers.get('authorization')?.replace(/^\w+ /, '') ?? null,
          idempotencyKey: request.headers.get('idempotency-key'),
          body,
        }
        const answer = world.issuer.answer(arrived)
        if (fate === 'copied') world.after(copyAfterMs, () => world.issuer.answer(arrived))
        if (fate === 'answer lost') return fail()
        world.after(latencyMs, () => arrive(answer))
      })
    })
  }
}
