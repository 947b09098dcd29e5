import { dataOf, type RequestData } from '@gatepass/session-data'
import type { FastifyRequest } from 'fastify'
import { z } from 'zod'

/**
 * All personal data of the shop. A cart ends with its session. Orders and preferences belong to the
 * user, on every device.
 *
 * Everything has a limit: the largest possible orders stay below the 64 KiB of a field.
 */
export const quantityMax = 1_000
export const linesMax = 12
export const ordersMax = 40
export const additionsMax = 100

const quantity = z.int().min(1).max(quantityMax)
const cents = z.int().nonnegative()

const cart = z.object({
  /** Becomes the id of the order, so that one cart makes one order. Empty before the first item. */
  id: z.string(),
  /** The quantity of each product. Prices are looked up: a stored price is not an offer. */
  items: z.record(z.string(), quantity),
  /** Digests of the `Idempotency-Key`s of the last additions. */
  added: z.array(z.string()),
})

const order = z.object({
  id: z.string(),
  /** The digest of the `Idempotency-Key` that made it. */
  key: z.string().optional(),
  at: z.iso.datetime(),
  lines: z.array(z.object({ product: z.string(), name: z.string(), quantity, price_cents: cents })),
  total_cents: cents,
  currency: z.string(),
})

export const preferences = z.strictObject({
  language: z.enum(['de', 'en', 'fr']),
  newsletter: z.boolean(),
})

export type Cart = z.infer<typeof cart>
export type Order = z.infer<typeof order>

/** The names begin with `shop`, because other applications may share the store. */
export const fields = {
  session: { shop_cart: cart.default({ id: '', items: {}, added: [] }) },
  user: {
    /** The newest last. */
    shop_orders: z.array(order).default([]),
    shop_preferences: preferences.default({ language: 'en', newsletter: false }),
  },
}

export type ShopData = RequestData<typeof fields>

/**
 * Returns the data of the caller. A program with one application declares `DataTypes` instead, and
 * uses `request.data` directly.
 */
export const shopData = (request: FastifyRequest): ShopData => dataOf(request, fields)
