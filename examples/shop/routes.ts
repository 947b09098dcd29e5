import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { digestOf, showCart, withItem, withoutProduct } from './cart.ts'
import { allProducts, currency, findProduct } from './catalogue.ts'
import { checkOut, showOrder } from './checkout.ts'
import { preferences, quantityMax, type ShopData, shopData } from './data.ts'
import { ShopError } from './problems.ts'

/**
 * The routes. Each requires a token unless its configuration says otherwise. The scopes are those that
 * the issuer grants by default; you can use your own, such as `orders:write`, in the same way.
 */
const open = { auth: false } as const
const reads = { auth: { scope: 'data:read' } }
const writes = { auth: { scope: 'data:write' } }

/** Selects the data of the caller. */
type DataOf = (request: FastifyRequest) => ShopData

const productId = z.string().max(64)
const retriable = z.looseObject({ 'idempotency-key': z.string().min(1).max(255).optional() })
const newItem = z.strictObject({ product: productId, quantity: z.int().min(1).max(quantityMax) })

/** Products are public and cacheable. */
export async function catalogueRoutes(scope: FastifyInstance): Promise<void> {
  const app = scope.withTypeProvider<ZodTypeProvider>()

  app.get('/products', { config: open }, async (_request, reply) => {
    reply.header('cache-control', 'public, max-age=60')
    return { products: allProducts(), currency }
  })

  app.get(
    '/products/:id',
    { config: open, schema: { params: z.object({ id: productId }) } },
    async (request, reply) => {
      reply.header('cache-control', 'public, max-age=60')
      return { ...productOf(request.params.id), currency }
    },
  )
}

export async function cartRoutes(scope: FastifyInstance, dataOf: DataOf = shopData): Promise<void> {
  const app = scope.withTypeProvider<ZodTypeProvider>()

  app.get('/cart', { config: reads }, async (request) =>
    showCart(await dataOf(request).session.get('shop_cart')),
  )

  app.post(
    '/cart/items',
    { config: writes, schema: { headers: retriable, body: newItem } },
    async (request) => {
      const { product, quantity } = request.body
      const addition = {
        product: productOf(product).id,
        quantity,
        key: digestOf(request.headers['idempotency-key']),
      }
      const { session } = dataOf(request)
      return showCart(await session.update('shop_cart', (cart) => withItem(cart, addition)))
    },
  )

  app.delete(
    '/cart/items/:product',
    { config: writes, schema: { params: z.object({ product: productId }) } },
    async (request) => {
      const { product } = request.params
      const { session } = dataOf(request)
      return showCart(await session.update('shop_cart', (cart) => withoutProduct(cart, product)))
    },
  )
}

export async function orderRoutes(
  scope: FastifyInstance,
  dataOf: DataOf = shopData,
): Promise<void> {
  const app = scope.withTypeProvider<ZodTypeProvider>()

  app.post(
    '/checkout',
    { config: writes, schema: { headers: retriable } },
    async (request, reply) => {
      const key = digestOf(request.headers['idempotency-key'])
      const { order, isNew } = await checkOut(dataOf(request), key, Date.now())
      return reply.code(isNew ? 201 : 200).send(showOrder(order))
    },
  )

  app.get('/orders', { config: reads }, async (request) => {
    const orders = await dataOf(request).user.get('shop_orders')
    return { orders: orders.map(showOrder).reverse() }
  })
}

export async function preferenceRoutes(
  scope: FastifyInstance,
  dataOf: DataOf = shopData,
): Promise<void> {
  const app = scope.withTypeProvider<ZodTypeProvider>()

  app.get('/preferences', { config: reads }, (request) =>
    dataOf(request).user.get('shop_preferences'),
  )

  app.put('/preferences', { config: writes, schema: { body: preferences } }, async (request) => {
    await dataOf(request).user.set('shop_preferences', request.body)
    return request.body
  })
}

/** @throws `product_unknown` */
function productOf(id: string) {
  const product = findProduct(id)
  if (product === undefined) throw new ShopError('product_unknown', 'There is no such product.')
  return product
}
