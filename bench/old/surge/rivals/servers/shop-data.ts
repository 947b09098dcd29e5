import { type Cart, fields, type ShopData } from '../../../../../examples/shop/data.ts'
import type { JsonStore } from './json-store.ts'

/** The data of a caller, in the form that the shop's own code takes. */

/** Of the fields that there are, what a shop asks for. */
interface Fields {
  get(field: string): Promise<unknown>
  set(field: string, value: unknown): Promise<unknown>
  update(field: string, change: (value: never) => unknown): Promise<unknown>
}

export interface OwnerOfData {
  readonly sub: string
  readonly sid: string
}

/** Carts by the session and the rest by the user, all in Redis. */
export function dataInRedis(store: JsonStore, { sub, sid }: OwnerOfData): ShopData {
  return shopData(fieldsAt(store, sid), fieldsAt(store, sub))
}

export interface CartHolder {
  shopCart?: Cart
}

/** The cart in a session that is written as a whole when the answer goes out; the rest in Redis. */
export function dataInSession(session: CartHolder, store: JsonStore, sub: string): ShopData {
  const cart = () => session.shopCart ?? defaultOf('shop_cart')
  const change = (value: unknown) => {
    session.shopCart = value as Cart
    return value
  }
  const own: Fields = {
    get: async () => cart(),
    set: async (_field, value) => change(value),
    update: async (_field, next) => change(next(cart() as never)),
  }
  return shopData(own, fieldsAt(store, sub))
}

function fieldsAt(store: JsonStore, owner: string): Fields {
  const keyOf = (field: string) => `${field}:${owner}`
  return {
    get: (field) => store.get(keyOf(field), defaultOf(field)),
    set: (field, value) => store.set(keyOf(field), value),
    update: (field, change) =>
      store.update(keyOf(field), defaultOf(field) as never, change as never),
  }
}

function defaultOf(field: string): unknown {
  const all = { ...fields.session, ...fields.user }
  return all[field as keyof typeof all].parse(undefined)
}

/** The shop uses no more of it than this. */
function shopData(session: Fields, user: Fields): ShopData {
  return { session, user } as unknown as ShopData
}
