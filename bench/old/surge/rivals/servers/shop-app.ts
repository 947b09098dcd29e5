import fastify, { type FastifyError, type FastifyInstance, type FastifyRequest } from 'fastify'
import { validatorCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { digestOf, showCart, withItem, withoutProduct } from '../../../../../examples/shop/cart.ts'
import { allProducts, currency, findProduct } from '../../../../../examples/shop/catalogue.ts'
import { checkOut, showOrder } from '../../../../../examples/shop/checkout.ts'
import { preferences, quantityMax, type ShopData } from '../../../../../examples/shop/data.ts'
import { ShopError, sendProblem } from '../../../../../examples/shop/problems.ts'
import { StoreAway } from './refusals.ts'

/**
 * The shop as examples/shop has it, with the same carts, orders and checkout, for those who tell users
 * apart in another way: each says who calls, and where the data of the caller is.
 */
export interface ShopParts {
  /** Lets those through who are signed in. @throws an error whose status is 401 */
  guard(request: FastifyRequest): Promise<void>
  /** Of a caller who was let through. */
  dataOf(request: FastifyRequest): ShopData
}

/** An app with the error answers of all, and what anybody may see.
 * @param name in `X-Replica` of each answer
 */
export function createApp(name: string): FastifyInstance {
  const app = fastify({ requestTimeout: 10_000, keepAliveTimeout: 72_000 })
  app.setValidatorCompiler(validatorCompiler)
  app.setErrorHandler((error: FastifyError, request, reply) => {
    if (error instanceof StoreAway) {
      return reply.code(503).header('retry-after', '1').send({ code: 'store_unavailable' })
    }
    if (error.statusCode === 401) return reply.code(401).send({ code: error.code })
    return sendProblem(error, request, reply)
  })
  app.addHook('onRequest', (_request, reply, done) => {
    reply.header('x-replica', name)
    done()
  })
  app.get('/products', async (_request, reply) => {
    reply.header('cache-control', 'public, max-age=60')
    return { products: allProducts(), currency }
  })
  return app
}

const productId = z.string().max(64)
const retriable = z.looseObject({ 'idempotency-key': z.string().min(1).max(255).optional() })
const newItem = z.strictObject({ product: productId, quantity: z.int().min(1).max(quantityMax) })

/** The routes behind a guard. Those for all are there already: nothing is asked for them. */
export function addShop(scope: FastifyInstance, { guard, dataOf }: ShopParts): void {
  const app = scope.withTypeProvider<ZodTypeProvider>()
  const guarded = { preHandler: guard }

  app.get('/cart', guarded, async (request) =>
    showCart(await dataOf(request).session.get('shop_cart')),
  )
  app.post(
    '/cart/items',
    { ...guarded, schema: { headers: retriable, body: newItem } },
    async (request) => {
      const { product, quantity } = request.body
      if (findProduct(product) === undefined) throw new ShopError('product_unknown', product)
      const addition = { product, quantity, key: digestOf(request.headers['idempotency-key']) }
      const { session } = dataOf(request)
      return showCart(await session.update('shop_cart', (cart) => withItem(cart, addition)))
    },
  )
  app.delete(
    '/cart/items/:product',
    { ...guarded, schema: { params: z.object({ product: productId }) } },
    async (request) => {
      const { product } = request.params
      const { session } = dataOf(request)
      return showCart(await session.update('shop_cart', (cart) => withoutProduct(cart, product)))
    },
  )
  app.post('/checkout', { ...guarded, schema: { headers: retriable } }, async (request, reply) => {
    const key = digestOf(request.headers['idempotency-key'])
    const { order, isNew } = await checkOut(dataOf(request), key, Date.now())
    return reply.code(isNew ? 201 : 200).send(showOrder(order))
  })
  app.get('/orders', guarded, async (request) => {
    const orders = await dataOf(request).user.get('shop_orders')
    return { orders: orders.map(showOrder).reverse() }
  })
  app.get('/preferences', guarded, (request) => dataOf(request).user.get('shop_preferences'))
  app.put('/preferences', { ...guarded, schema: { body: preferences } }, async (request) => {
    await dataOf(request).user.set('shop_preferences', request.body)
    return request.body
  })
}
