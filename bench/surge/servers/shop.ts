import fastify, { type FastifyError, type FastifyInstance, type FastifyRequest } from 'fastify'
import { validatorCompiler } from 'fastify-type-provider-zod'
import { type Cart, fields, type ShopData } from '../../../examples/shop/data.ts'
import { sendProblem } from '../../../examples/shop/problems.ts'
import {
  cartRoutes,
  catalogueRoutes,
  orderRoutes,
  preferenceRoutes,
} from '../../../examples/shop/routes.ts'
import { type JsonStore, StoreUnavailable } from './redis.ts'

/** How a rival runs the shop of examples/shop: it identifies the caller and stores the caller's data. */
export interface ShopParts {
  /** Admits signed-in users. @throws an error with status 401 */
  guard(request: FastifyRequest): Promise<void>
  dataOf(request: FastifyRequest): ShopData
}

/** Creates an app with the common errors and the public routes. */
export async function createApp(): Promise<FastifyInstance> {
  const app = fastify({ requestTimeout: 10_000, keepAliveTimeout: 72_000 })
  app.setValidatorCompiler(validatorCompiler)
  app.setErrorHandler((error: FastifyError, request, reply) => {
    if (error instanceof StoreUnavailable) {
      return reply.code(503).header('retry-after', '1').send({ code: 'store_unavailable' })
    }
    if (error.statusCode === 401) return reply.code(401).send({ code: error.code })
    return sendProblem(error, request, reply)
  })
  await catalogueRoutes(app)
  return app
}

/** The routes behind a guard. */
export function addShop(app: FastifyInstance, { guard, dataOf }: ShopParts): void {
  app.register(async (scope) => {
    scope.addHook('preHandler', guard)
    await cartRoutes(scope, dataOf)
    await orderRoutes(scope, dataOf)
    await preferenceRoutes(scope, dataOf)
  })
}

/** The part of the caller's data that the shop uses. */
interface Fields {
  get(field: string): Promise<unknown>
  set(field: string, value: unknown): Promise<unknown>
  update(field: string, change: (value: never) => unknown): Promise<unknown>
}

export interface OwnerOfData {
  readonly sub: string
  readonly sid: string
}

/** Keeps carts by session and other data by user, all in Redis. */
export function dataInRedis(store: JsonStore, { sub, sid }: OwnerOfData): ShopData {
  return shopData(fieldsIn(store, sid), fieldsIn(store, sub))
}

export interface CartHolder {
  shopCart?: Cart
}

/** Keeps the cart in the session, which is written as a whole with the response, and other data in Redis. */
export function dataInSession(holder: CartHolder, store: JsonStore, sub: string): ShopData {
  const cart = () => holder.shopCart ?? (defaultOf('shop_cart') as Cart)
  const put = (value: unknown) => {
    holder.shopCart = value as Cart
    return value
  }
  const own: Fields = {
    get: async () => cart(),
    set: async (_field, value) => put(value),
    update: async (_field, change) => put(change(cart() as never)),
  }
  return shopData(own, fieldsIn(store, sub))
}

function fieldsIn(store: JsonStore, owner: string): Fields {
  const keyOf = (field: string) => `${field}:${owner}`
  const update: Fields['update'] = (field, change) =>
    store.update(keyOf(field), defaultOf(field) as never, change as never)
  return {
    get: (field) => store.get(keyOf(field), defaultOf(field)),
    set: (field, value) => update(field, () => value),
    update,
  }
}

function defaultOf(field: string): unknown {
  const all = { ...fields.session, ...fields.user }
  return all[field as keyof typeof all].parse(undefined)
}

function shopData(session: Fields, user: Fields): ShopData {
  return { session, user } as unknown as ShopData
}
