import { hash, randomUUID } from 'node:crypto'
import { currency, findProduct } from './catalogue.ts'
import { additionsMax, type Cart, linesMax, type Order, quantityMax } from './data.ts'
import { ShopError } from './problems.ts'

/**
 * Changes of a cart, as pure functions. `update` may call them again with a newer cart, after another
 * replica changed it.
 */

export interface Addition {
  readonly product: string
  readonly quantity: number
  /** The digest of its `Idempotency-Key`, if it has one. */
  readonly key: string | undefined
}

/**
 * Adds an item. An addition that is repeated with its key after a lost response counts once: the cart
 * stores the last keys in the same write as the items.
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
 * Returns the cart after an order: a new cart with the items that were added since. Returns any other
 * cart unchanged.
 */
export function withoutOrder(cart: Cart, order: Order): Cart {
  if (cart.id !== order.id) return cart
  const ordered = new Map(order.lines.map(({ product, quantity }) => [product, quantity]))
  const left = Object.entries(cart.items)
    .map(([product, quantity]) => [product, quantity - (ordered.get(product) ?? 0)] as const)
    .filter(([, quantity]) => quantity > 0)
  return { ...cart, id: randomUUID(), items: Object.fromEntries(left) }
}

/** Lists the products of a cart with their names and current prices. */
export function linesOf(cart: Cart): Order['lines'] {
  return Object.entries(cart.items).flatMap(([id, quantity]) => {
    const product = findProduct(id)
    // The product is not for sale.
    if (product === undefined) return []
    return [{ product: id, name: product.name, quantity, price_cents: product.price_cents }]
  })
}

export function totalOf(lines: Order['lines']): number {
  return lines.reduce((sum, { quantity, price_cents }) => sum + quantity * price_cents, 0)
}

/** Returns the cart as the user sees it. */
export function showCart(cart: Cart) {
  const items = linesOf(cart)
  return { items, total_cents: totalOf(items), currency }
}

/** Returns a short text of fixed length for a key of any length. */
export function digestOf(idempotencyKey: string | undefined): string | undefined {
  if (idempotencyKey === undefined) return undefined
  return hash('sha256', idempotencyKey, 'base64url').slice(0, 16)
}
