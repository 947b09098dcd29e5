import { linesOf, totalOf, withoutOrder } from './cart.ts'
import { currency } from './catalogue.ts'
import { type Cart, type Order, ordersMax, type ShopData } from './data.ts'
import { ShopError } from './problems.ts'

export interface Checkout {
  readonly order: Order
  /** False for an order that a click before this one has made. */
  readonly isNew: boolean
}

/**
 * Makes an order of the cart, once.
 *
 * The orders are the user's and the cart is the session's, so there are two writes, and no
 * transaction around them. The order is written first, and the cart emptied second:
 *
 * - The order has the id of the cart, and there is one order of an id. Two clicks that reach two
 *   replicas read the same cart, and only one of the two compare-and-sets appends; the other click
 *   finds the order and answers with it.
 * - A replica that dies between the writes leaves an order, and a cart that still looks full. Nothing
 *   is lost; and the next checkout, with a key or without, finds the order and ends the cart.
 *   (The other way round, a death in between would lose what was in the cart.)
 * - A retry that comes when the cart is emptied already has no cart to tell it by. That is what its
 *   `Idempotency-Key` is for: the order remembers it.
 * - What is added to the cart while it becomes an order is not in the order, and stays in the cart.
 *
 * All of that holds for the last orders that are kept. Where orders are a business they belong in a
 * database, with the id of the cart as their key; the order of the writes is the same.
 *
 * @param key the digest of the `Idempotency-Key`
 * @throws `cart_empty`
 */
export async function checkOut(
  { session, user }: ShopData,
  key: string | undefined,
  nowMs: number,
): Promise<Checkout> {
  const cart = await session.get('shop_cart')
  let made: Checkout | undefined
  await user.update('shop_orders', (orders) => {
    const known = orders.find(({ id, key: by }) => id === cart.id || (key && by === key))
    const order = known ?? orderOf(cart, key, nowMs)
    made = { order, isNew: known === undefined }
    return known ? orders : [...orders, order].slice(-ordersMax)
  })
  if (made === undefined) throw new Error('an update has called no change')
  const { order } = made
  await session.update('shop_cart', (now) => withoutOrder(now, order))
  return made
}

function orderOf(cart: Cart, key: string | undefined, nowMs: number): Order {
  const lines = linesOf(cart)
  if (lines.length === 0) throw new ShopError('cart_empty', 'There is nothing in the cart.')
  return {
    id: cart.id,
    key,
    at: new Date(nowMs).toISOString(),
    lines,
    total_cents: totalOf(lines),
    currency,
  }
}

/** The order as its owner sees it. */
export function showOrder({ key: _, ...order }: Order) {
  return order
}
