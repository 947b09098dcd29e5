import { EventEmitter } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { isGatepassError } from '../../src/core/errors.ts'
import { randomId } from '../../src/core/secrets.ts'
import type { DataOwner, DataStore, StoredField } from '../../src/stores/data-store.ts'
import { until } from '../support/until.ts'
import { newOwner, write } from './data-store-contract.ts'

const writersOfCart = 3
const pauseMsMax = 20

/** An item in a cart, and when the store acknowledged it. */
interface Acknowledged {
  readonly item: string
  readonly atMs: number
}

export class Cart {
  readonly owner: DataOwner = newOwner()
  readonly acknowledged: Acknowledged[] = []
  /** All items, also those without a response, which may be stored. */
  readonly attempted = new Set<string>()

  /** Returns the items that were acknowledged within a time and are not stored. */
  lost(items: readonly string[], { fromMs = 0, toMs = Infinity } = {}): string[] {
    return this.acknowledged
      .filter(({ item, atMs }) => atMs >= fromMs && atMs < toMs && !items.includes(item))
      .map(({ item }) => item)
  }
}

export interface DataLoadReport {
  readonly acknowledged: number
  readonly unavailable: number
  /** Wrong responses. */
  readonly wrong: readonly string[]
  readonly slowestMs: number
}

/**
 * Carts that several writers fill. Each addition reads the cart and writes it with one more item, on
 * condition that nobody has changed it meanwhile.
 */
export class DataLoad {
  readonly carts: readonly Cart[]
  readonly #store: DataStore
  readonly #writers: readonly Promise<void>[]
  readonly #answers = new EventEmitter()
  readonly #wrong: string[] = []
  #isStopping = false
  #acknowledged = 0
  #unavailable = 0
  #slowestMs = 0

  /** Runs until `stop`, or until the test ends. */
  constructor(t: Test, store: DataStore, cartCount: number) {
    this.#store = store
    this.carts = Array.from({ length: cartCount }, () => new Cart())
    this.#answers.setMaxListeners(0)
    this.#writers = this.carts.flatMap((cart) =>
      Array.from({ length: writersOfCart }, () => this.#fill(cart)),
    )
    t.teardown(() => this.stop())
  }

  /** Resolves after this many further additions were acknowledged. */
  async untilAcknowledged(more: number): Promise<void> {
    const enough = this.#acknowledged + more
    await until('additions are acknowledged', () => this.#acknowledged >= enough)
  }

  /** Resolves after a further addition to each cart was acknowledged. */
  async untilAllAcknowledged(): Promise<void> {
    const waiting = new Set(this.carts)
    const onAnswer = (cart: Cart) => waiting.delete(cart)
    this.#answers.on('acknowledged', onAnswer)
    await until('every cart has one more', () => waiting.size === 0)
    this.#answers.off('acknowledged', onAnswer)
  }

  /** Resolves once a call has failed. Before that, responses from before a fault may still arrive. */
  async untilUnavailable(): Promise<void> {
    await until('a call fails', () => this.#unavailable > 0)
  }

  async stop(): Promise<DataLoadReport> {
    this.#isStopping = true
    await Promise.all(this.#writers)
    return {
      acknowledged: this.#acknowledged,
      unavailable: this.#unavailable,
      wrong: this.#wrong,
      slowestMs: this.#slowestMs,
    }
  }

  /** Reads a cart. Records duplicate and unknown items as wrong. */
  async itemsOf({ owner, attempted }: Cart): Promise<string[]> {
    const items = itemsIn((await this.#store.read(owner, ['cart'], Date.now())).get('cart'))
    const strange = items.filter((item, at) => !attempted.has(item) || items.indexOf(item) !== at)
    if (strange.length > 0) throw new Error(`a cart has ${strange}`)
    return items
  }

  async #fill(cart: Cart): Promise<void> {
    while (!this.#isStopping) {
      const item = randomId()
      cart.attempted.add(item)
      try {
        while (!(await this.#add(cart, item)) && !this.#isStopping);
      } catch (error) {
        if (isGatepassError(error, 'store_unavailable')) this.#unavailable += 1
        else this.#wrong.push(String(error))
      }
      await sleep(pauseMsMax * Math.random())
    }
  }

  /** Returns false after a conflict. */
  async #add(cart: Cart, item: string): Promise<boolean> {
    const { owner } = cart
    const found = await this.#timed(() => this.#store.read(owner, ['cart'], Date.now()))
    const current = found.get('cart')
    const one = write({
      owner,
      value: Buffer.from([...itemsIn(current), item].join()),
      expected: current?.version ?? null,
      nowMs: Date.now(),
    })
    const outcome = await this.#timed(() => this.#store.write(one))
    if (outcome === 'conflict') return false
    if (outcome !== 'written') throw new Error(`a write was answered ${outcome}`)
    cart.acknowledged.push({ item, atMs: performance.now() })
    this.#acknowledged += 1
    this.#answers.emit('acknowledged', cart)
    return true
  }

  async #timed<T>(call: () => Promise<T>): Promise<T> {
    const startedAtMs = performance.now()
    try {
      return await call()
    } finally {
      this.#slowestMs = Math.max(this.#slowestMs, performance.now() - startedAtMs)
    }
  }
}

function itemsIn(field: StoredField | undefined): string[] {
  return field === undefined ? [] : field.value.toString().split(',')
}
