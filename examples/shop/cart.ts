import { hash, randomUUID } from 'node:crypto'
import { currency, findProduct } from './catalogue.ts'
import { additionsMax, type Cart, linesMax, type Order, quantityMax } from './data.ts'
import { ShopError } from './problems.ts'

/**
 * What becomes of a cart, as pure functions: `update` may call them again, with a newer cart, when
 * another replica was faster.
 */

export interface Addition {
  readonly product: string
  readonly quantity: number
  /** The digest of its `Idempotency-Key`, if it has one. */
  readonly key: string | undefined
}

/**
 * The cart with more in it. An addition whose answer was lost is sent again with the same key, and
 * counts once: the cart remembers the last keys in the same write as the items, so a crash can't
 * keep one without the other.
 */
export function withItem(cart: Cart, { product, quantity, key }: Addition): Cart {
  if (key !== undefined && cart.added.includes(key)) return cart
  const sum = (cart.items[product] ?? 0) + quantity
  const items = { ...cart.items, [product]: sum }
  if (sum > quantityMax || Object.keys(items).length > linesMax) {
    throw new ShopError('cart_full', `A cart holds ${linesMax} products, ${quantityMax} of each.`)
  }
  const added = key === undefined ? cart.added : [...cart.added, key].slice(-additionsMax)
  return { id: cart.id || randomUUID(), items, added }
}

export function withoutProduct(cart: Cart, product: string): Cart {
  const { [product]: _, ...items } = cart.items
  return { ...cart, items }
}

/**
 * The cart that is left when it has become this order: a new one, with what was added since the
 * order was made. Any other cart stays as it is.
 */
export function withoutOrder(cart: Cart, order: Order): Cart {
  if (cart.id !== order.id) return cart
  const ordered = new Map(order.lines.map(({ product, quantity }) => [product, quantity]))
  const left = Object.entries(cart.items)
    .map(([product, quantity]) => [product, quantity - (ordered.get(product) ?? 0)] as const)
    .filter(([, quantity]) => quantity > 0)
  return { ...cart, id: randomUUID(), items: Object.fromEntries(left) }
}

/** Each product in it with its name and today's price. */
export function linesOf(cart: Cart): Order['lines'] {
  return Object.entries(cart.items).flatMap(([id, quantity]) => {
    const product = findProduct(id)
    // It is not sold any more.
    if (product === undefined) return []
    return [{ product: id, name: product.name, quantity, price_cents: product.price_cents }]
  })
}

export function totalOf(lines: Order['lines']): number {
  return lines.reduce((sum, { quantity, price_cents }) => sum + quantity * price_cents, 0)
}

/** The cart as its owner sees it. */
export function showCart(cart: Cart) {
  const items = linesOf(cart)
  return { items, total_cents: totalOf(items), currency }
}

/** Short, and of one length, whatever a client sends. */
export function digestOf(idempotencyKey: string | undefined): string | undefined {
  if (idempotencyKey === undefined) return undefined
  return hash('sha256', idempotencyKey, 'base64url').slice(0, 16)
}
