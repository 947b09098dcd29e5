import { linesOf, totalOf, withoutOrder } from './cart.ts'
import { currency } from './catalogue.ts'
import { type Cart, type Order, ordersMax, type ShopData } from './data.ts'
import { ShopError } from './problems.ts'

export interface Checkout {
  readonly order: Order
  /** False if an earlier click made the order. */
  readonly isNew: boolean
}

/**
 * Turns the cart into one order.
 *
 * The orders belong to the user and the cart to the session, so there are two writes without a
 * transaction. The order is written first, then the cart is emptied:
 *
 * - The order has the id of the cart, and each id has one order. If two clicks reach two replicas,
 *   one compare-and-set appends the order, and the other click finds it.
 * - A crash between the writes leaves an order and a full cart. The next checkout finds the order and
 *   empties the cart. In the reverse sequence a crash would lose the items.
 * - A retry after the cart was emptied is recognized by its `Idempotency-Key`, which the order stores.
 * - Items that are added during the checkout stay in the cart.
 *
 * This holds for the most recent orders, which are kept. A real shop writes orders to a database with
 * the id of the cart as their key, in the same sequence.
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

/** Returns the order as the user sees it. */
export function showOrder({ key: _, ...order }: Order) {
  return order
}
