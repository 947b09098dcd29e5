import type { PlaygroundState } from '../api.ts'
import {
  type CartAnswer,
  type CartApi,
  type CartView,
  type Product,
  SessionCart,
  ShopCart,
} from './carts.ts'
import { busyWhile, button, byId, el, messageOf, setText } from './dom.ts'
import type { Page } from './page.ts'

/** Any replica may answer, the same one again too; and there may be no other. */
const triesMax = 8

/** The cart: kept by the session, so that every replica has it and none needs to remember. */
export function startCartCard({ auth, feed, traffic }: Page): void {
  let api: CartApi | null = null
  let products: readonly Product[] = []
  let last: string | null = null
  const show = (view: CartView, replica: string | null) => {
    last = replica
    byId('cart').replaceChildren(...view.items.map(line))
    byId('cart-empty').hidden = view.items.length > 0
    setText(byId('cart-total'), view.total)
    if (replica !== null) setText(byId('cart-replica'), `answered by ${replica}`)
  }
  let turn: Promise<void> = Promise.resolve()
  // One after the other: of two at once the older view could be answered last, and stay.
  const act = (call: (api: CartApi) => Promise<CartAnswer>): Promise<void> => {
    const acted = turn.then(async () => {
      if (api === null || auth.state.status !== 'signed-in') return
      const { view, replica } = await call(api)
      show(view, replica)
    })
    turn = acted.catch(() => {})
    return acted
  }
  const line = ({ product, name, quantity }: CartView['items'][number]) =>
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
  let status = auth.state.status
  auth.onChange((state) => {
    if (state.status === 'signed-in' && status !== 'signed-in') load()
    status = state.status
  })
  const again = byId('reload-cart')
  again.addEventListener('click', () =>
    busyWhile(again, async () => {
      const before = last
      for (let tries = 0; last === before && tries < triesMax; tries++) await load()
    }),
  )
}

/** The shop once one of it takes requests; where it can't be had, a verifier keeps the cart. */
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
