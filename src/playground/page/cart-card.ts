import type { PlaygroundState } from '../api.ts'
import { button, byId, el, messageOf, onClick, setText } from './dom.ts'
import type { Page } from './page.ts'
import { jsonOf } from './server.ts'
import type { Traffic } from './traffic.ts'

/** A replica is chosen at random, so one of two responds this often in a row once in 16 million times. */
const maxReloads = 24

/** Starts the cart. It is session data, so every replica shows the same cart. */
export function startCartCard({ auth, feed, traffic }: Page): void {
  let api: CartApi | null = null
  let products: readonly Product[] = []
  let last: string | null = null
  const show = (view: CartView, replica: string | null) => {
    last = replica
    byId('cart').replaceChildren(...view.items.map(line))
    byId('cart-empty').hidden = view.items.length > 0
    setText(byId('cart-total'), view.total)
    if (replica !== null) setText(byId('cart-replica'), `response from ${replica}`)
  }
  let turn: Promise<void> = Promise.resolve()
  // One call at a time: of two concurrent calls the older view could arrive last.
  const act = (call: (api: CartApi) => Promise<CartAnswer>): Promise<void> => {
    const acted = turn.then(async () => {
      if (api === null || auth.state.status !== 'signed-in') return
      const { view, replica } = await call(api)
      show(view, replica)
    })
    turn = acted.catch(() => {})
    return acted
  }
  const line = ({ product, name, quantity }: CartLine) =>
    el(
      'li',
      {},
      el('span', { class: 'quantity' }, `${quantity} ×`),
      el('span', { class: 'name' }, name),
      button('Remove', { class: 'small', 'aria-label': `Remove ${name}` }, async () => {
        await act((one) => one.remove(product))
        byId('cart').focus()
      }),
    )
  const load = async () => {
    if (api === null || auth.state.status !== 'signed-in') return
    try {
      if (products.length === 0) products = await api.products()
      showShelf(products, (id) => act((one) => one.add(id)))
      await act((one) => one.load())
      setText(byId('cart-note'), api.note)
    } catch (error) {
      setText(byId('cart-note'), messageOf(error))
    }
  }
  feed.onState((state) => {
    const wanted = kindOf(state)
    if (api?.kind === wanted || wanted === null) return
    api = wanted === 'shop' ? new ShopCart(traffic) : new SessionCart(traffic)
    products = []
    load()
  })
  let session: string | null = null
  auth.onChange((state) => {
    const next = state.status === 'signed-in' ? state.sessionId : null
    if (next !== null && next !== session) load()
    session = next
  })
  onClick('reload-cart', async () => {
    const before = last
    for (let reloads = 0; last === before && reloads < maxReloads; reloads++) await load()
  })
}

/** The shop when one of its replicas is ready; the verifiers if there is no shop. */
function kindOf({ kinds, replicas }: PlaygroundState): 'shop' | 'verifier' | null {
  const kind = kinds.includes('shop') ? 'shop' : 'verifier'
  return replicas.some((one) => one.kind === kind && one.ready) ? kind : null
}

function showShelf(products: readonly Product[], add: (id: string) => Promise<void>): void {
  const shelf = byId('shelf')
  if (shelf.children.length > 0) return
  const item = ({ id, name, price }: Product) => {
    const one = button('', { class: 'product' }, () => add(id))
    one.append(
      el('span', { class: 'visually-hidden' }, 'Add to the cart: '),
      el('span', { class: 'name' }, name),
      ' ',
      el('span', { class: 'price' }, price),
    )
    return el('li', {}, one)
  }
  shelf.append(...products.map(item))
}

interface Product {
  readonly id: string
  readonly name: string
  readonly price: string
}

interface CartLine {
  readonly product: string
  readonly name: string
  readonly quantity: number
}

interface CartView {
  readonly items: readonly CartLine[]
  readonly total: string
}

interface CartAnswer {
  readonly view: CartView
  readonly replica: string | null
}

interface CartApi {
  readonly kind: 'shop' | 'verifier'
  /** The description in the card. */
  readonly note: string
  products(): Promise<readonly Product[]>
  load(): Promise<CartAnswer>
  add(product: string): Promise<CartAnswer>
  remove(product: string): Promise<CartAnswer>
}

/** Products of the shop that fit on the page. */
const maxProducts = 6

interface ShopAnswer {
  readonly items: readonly CartLine[]
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

class ShopCart implements CartApi {
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
      .slice(0, maxProducts)
      .map(({ id, name, price_cents }) => ({ id, name, price: money(price_cents, currency) }))
  }

  load(): Promise<CartAnswer> {
    return this.#call('/cart')
  }

  /** With an idempotency key the balancer may repeat the request at another replica. */
  add(product: string): Promise<CartAnswer> {
    return this.#call('/cart/items', {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': crypto.randomUUID() },
      body: JSON.stringify({ product, quantity: 1 }),
    })
  }

  remove(product: string): Promise<CartAnswer> {
    return this.#call(`/cart/items/${encodeURIComponent(product)}`, {
      method: 'DELETE',
      headers: { 'idempotency-key': crypto.randomUUID() },
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

const sampleProducts: readonly Product[] = [
  { id: 'shirt', name: 'Linen shirt', price: '' },
  { id: 'hat', name: 'Felt hat', price: '' },
  { id: 'scarf', name: 'Knitted scarf', price: '' },
  { id: 'boots', name: 'Hiking boots', price: '' },
]
const maxChangeAttempts = 5

/** A cart without the shop: session data of the verifiers, changed by compare-and-set. */
class SessionCart implements CartApi {
  readonly kind = 'verifier'
  readonly note = 'The verifiers keep the cart as session data at /data/session/cart.'
  readonly #traffic: Traffic

  constructor(traffic: Traffic) {
    this.#traffic = traffic
  }

  async products(): Promise<readonly Product[]> {
    return sampleProducts
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
    for (let attempt = 1; ; attempt++) {
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
      if (response.ok) {
        return { view: viewOf(next), replica: response.headers.get('x-replica') }
      }
      // If another tab changed the cart, it is read again and the change is repeated.
      const isConflict = response.status === 412
      if (!isConflict || attempt === maxChangeAttempts) await jsonOf<never>(response)
    }
  }
}

function viewOf(items: Items): CartView {
  const lines = sampleProducts
    .filter(({ id }) => (items[id] ?? 0) > 0)
    .map(({ id, name }) => ({ product: id, name, quantity: items[id] ?? 0 }))
  const count = lines.reduce((sum, { quantity }) => sum + quantity, 0)
  return { items: lines, total: `${count} in the cart` }
}

function money(cents: number, currency: string): string {
  return (cents / 100).toLocaleString(undefined, { style: 'currency', currency })
}
