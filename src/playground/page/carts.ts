import { jsonOf, Refused } from './server.ts'
import type { Traffic } from './traffic.ts'

export interface Product {
  readonly id: string
  readonly name: string
  readonly price: string
}

export interface CartView {
  readonly items: readonly {
    readonly product: string
    readonly name: string
    readonly quantity: number
  }[]
  readonly total: string
}

export interface CartAnswer {
  readonly view: CartView
  readonly replica: string | null
}

export interface CartApi {
  readonly kind: 'shop' | 'verifier'
  /** What the card says of it. */
  readonly note: string
  products(): Promise<readonly Product[]>
  load(): Promise<CartAnswer>
  add(product: string): Promise<CartAnswer>
  remove(product: string): Promise<CartAnswer>
}

/** How many of the shop's products fit on the page. */
const productsMax = 6

interface ShopAnswer {
  readonly items: readonly {
    readonly product: string
    readonly name: string
    readonly quantity: number
  }[]
  readonly total_cents: number
  readonly currency: string
}

interface Catalogue {
  readonly products: readonly {
    readonly id: string
    readonly name: string
    readonly price_cents: number
  }[]
  readonly currency: string
}

/** The cart of the shop. */
export class ShopCart implements CartApi {
  readonly kind = 'shop'
  readonly note = 'Any replica of the shop answers: the cart is session data.'
  readonly #traffic: Traffic

  constructor(traffic: Traffic) {
    this.#traffic = traffic
  }

  async products(): Promise<readonly Product[]> {
    const { products, currency } = await jsonOf<Catalogue>(
      await this.#traffic.send('shop', '/products'),
    )
    return products
      .slice(0, productsMax)
      .map(({ id, name, price_cents }) => ({ id, name, price: money(price_cents, currency) }))
  }

  load(): Promise<CartAnswer> {
    return this.#call('/cart')
  }

  /** With a key: should the replica die meanwhile, another is asked, and it still counts once. */
  add(product: string): Promise<CartAnswer> {
    return this.#call('/cart/items', {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': randomKey() },
      body: JSON.stringify({ product, quantity: 1 }),
    })
  }

  remove(product: string): Promise<CartAnswer> {
    return this.#call(`/cart/items/${encodeURIComponent(product)}`, {
      method: 'DELETE',
      headers: { 'idempotency-key': randomKey() },
    })
  }

  async #call(path: string, init?: RequestInit): Promise<CartAnswer> {
    const response = await this.#traffic.send('shop', path, init)
    const { items, total_cents, currency } = await jsonOf<ShopAnswer>(response)
    const view = { items, total: money(total_cents, currency) }
    return { view, replica: response.headers.get('x-replica') }
  }
}

type Items = Readonly<Record<string, number>>

const wares: readonly Product[] = [
  { id: 'shirt', name: 'Linen shirt', price: '' },
  { id: 'hat', name: 'Felt hat', price: '' },
  { id: 'scarf', name: 'Knitted scarf', price: '' },
  { id: 'boots', name: 'Hiking boots', price: '' },
]
const triesMax = 5

/** A cart without the shop: the session data of the verifiers, changed by compare-and-set. */
export class SessionCart implements CartApi {
  readonly kind = 'verifier'
  readonly note =
    'Kept by the verifiers as /data/session/cart. The shop itself is in the repository.'
  readonly #traffic: Traffic

  constructor(traffic: Traffic) {
    this.#traffic = traffic
  }

  async products(): Promise<readonly Product[]> {
    return wares
  }

  async load(): Promise<CartAnswer> {
    const { items, replica } = await this.#read()
    return { view: viewOf(items), replica }
  }

  add(product: string): Promise<CartAnswer> {
    return this.#change((items) => ({ ...items, [product]: (items[product] ?? 0) + 1 }))
  }

  remove(product: string): Promise<CartAnswer> {
    return this.#change(({ [product]: _, ...items }) => items)
  }

  async #read() {
    const response = await this.#traffic.send('verifier', '/data/session/cart')
    const replica = response.headers.get('x-replica')
    if (response.status === 404) return { items: {}, etag: null, replica }
    const items = await jsonOf<Items>(response)
    return { items, etag: response.headers.get('etag'), replica }
  }

  async #change(change: (items: Items) => Items): Promise<CartAnswer> {
    for (let tries = 1; ; tries++) {
      const { items, etag } = await this.#read()
      const next = change(items)
      const response = await this.#traffic.send('verifier', '/data/session/cart', {
        method: 'PUT',
        headers: {
          'content-type': 'application/json',
          ...(etag === null ? { 'if-none-match': '*' } : { 'if-match': etag }),
        },
        body: JSON.stringify(next),
      })
      try {
        await jsonOf<unknown>(response)
        return { view: viewOf(next), replica: response.headers.get('x-replica') }
      } catch (error) {
        // Another tab was faster: its change stays, and ours goes on top.
        const isLate = error instanceof Refused && error.code === 'data_conflict'
        if (!isLate || tries === triesMax) throw error
      }
    }
  }
}

function viewOf(items: Items): CartView {
  const lines = wares
    .filter(({ id }) => (items[id] ?? 0) > 0)
    .map(({ id, name }) => ({ product: id, name, quantity: items[id] ?? 0 }))
  const count = lines.reduce((sum, { quantity }) => sum + quantity, 0)
  return { items: lines, total: `${count} in the cart` }
}

function money(cents: number, currency: string): string {
  return (cents / 100).toLocaleString(undefined, { style: 'currency', currency })
}

function randomKey(): string {
  return crypto.randomUUID()
}
