import { randomUUID } from 'node:crypto'
import t from 'tap'
import { buildShop } from '../../../examples/shop/app.ts'
import { GatepassError } from '../../../src/core/errors.ts'
import type { DataStore } from '../../../src/stores/data-store.ts'
import { createVerifier } from '../../../src/verifier/verifier.ts'
import { newDataStore } from '../../support/data.ts'
import fc from '../../support/properties.ts'
import { audience, issuer } from '../../support/tokens.ts'
import { dataSecret, newToken, verificationKey } from './replicas.ts'

/** The fate of a write: done, failed before the store has written it, or failed afterwards. */
type Fate = 'done' | 'not done' | 'answer lost'

/** A store whose next writes have the `fates` of a test. Later writes succeed. */
function withFates(store: DataStore): DataStore {
  const away = () => new GatepassError('store_unavailable', { retryAfterSeconds: 1 })
  return new Proxy(store, {
    get(target, name) {
      const value = Reflect.get(target, name)
      if (name !== 'write') return typeof value === 'function' ? value.bind(target) : value
      return async (...args: Parameters<DataStore['write']>) => {
        const fate = fates.shift() ?? 'done'
        if (fate === 'not done') throw away()
        const outcome = await target.write(...args)
        if (fate === 'answer lost') throw away()
        return outcome
      }
    },
  })
}

/** The fates of the next writes, at both replicas. */
const fates: Fate[] = []
const store = withFates(newDataStore(t))
const verifier = createVerifier({ issuer, audience, jwks: { keys: [verificationKey] } })
const shops = ['shop-1', 'shop-2'].map((name) =>
  buildShop({ name, verifier, store, secrets: [dataSecret], logLevel: 'silent' }),
)
t.teardown(() => Promise.all(shops.map((shop) => shop.close())))

interface Where {
  readonly at?: number
  readonly key?: string | undefined
  readonly body?: object
}

type Lines = readonly { readonly product: string; readonly quantity: number }[]
const count = (lines: Lines) => lines.reduce((sum, { quantity }) => sum + quantity, 0)

/** A new user, who calls replicas in this process. */
function newCustomer() {
  const authorization = `Bearer ${newToken()}`
  async function call(method: 'GET' | 'POST', url: string, { at = 0, key, body }: Where = {}) {
    const headers = { authorization, ...(key !== undefined && { 'idempotency-key': key }) }
    const response = await shops[at]?.inject({ method, url, headers, ...(body && { body }) })
    if (response === undefined) throw new Error('there is no such replica')
    return { status: response.statusCode, headers: response.headers, body: response.json() }
  }
  return {
    call,
    add: (quantity: number, key: string, at = 0) =>
      call('POST', '/cart/items', { at, key, body: { product: 'mug', quantity } }),
    checkOut: (key?: string, at = 0) => call('POST', '/checkout', { at, key }),
    inCart: async () => count((await call('GET', '/cart')).body.items),
    /** The total quantity of each order, newest first. */
    ordered: async () => {
      const { orders } = (await call('GET', '/orders')).body as { orders: { lines: Lines }[] }
      return orders.map(({ lines }) => count(lines))
    },
  }
}

t.test('a crash between order and cart neither loses nor repeats an order', async (t) => {
  for (const [how, key] of [['with its key', 'one'], ['with another', 'two'], ['without']]) {
    await t.test(`tried again ${how}`, async (t) => {
      const { add, checkOut, inCart, ordered } = newCustomer()
      await add(2, 'a')
      fates.push('done', 'not done')
      const failed = await checkOut('one')
      t.match(failed, { status: 503, body: { code: 'store_unavailable' } })
      t.equal(failed.headers['retry-after'], '1')
      t.same([await ordered(), await inCart()], [[2], 2])
      // A product that is added later is not in the order.
      await add(3, 'b', 1)
      const again = await checkOut(key, 1)
      t.equal(again.status, 200)
      t.same([await ordered(), await inCart()], [[2], 3])
      t.equal((await checkOut('three')).status, 201)
      t.same([await ordered(), await inCart()], [[3, 2], 0])
    })
  }
})

t.test('the retry of an order with a lost response gets the same order', async (t) => {
  const { add, checkOut, inCart, ordered } = newCustomer()
  await add(2, 'a')
  fates.push('done', 'answer lost')
  t.equal((await checkOut('one')).status, 503)
  t.same([await ordered(), await inCart()], [[2], 0])
  t.equal((await checkOut('one', 1)).status, 200)
  t.equal((await checkOut('two')).body.code, 'cart_empty')
  t.same(await ordered(), [2])
})

const step = fc.record({
  act: fc.oneof({ weight: 3, arbitrary: fc.constant('add') }, fc.constant('check out')),
  quantity: fc.integer({ min: 1, max: 5 }),
  at: fc.nat({ max: 1 }),
  /** The fates of its writes, including those of retries. */
  fates: fc.array(fc.constantFrom<Fate>('done', 'not done', 'answer lost'), { maxLength: 4 }),
  /** Whether the next step runs at the same time. */
  together: fc.boolean(),
})

type Step = typeof step extends fc.Arbitrary<infer S> ? S : never

/** Tries a step at the two replicas in turn until the status is not 503. */
async function insist(customer: ReturnType<typeof newCustomer>, step: Step): Promise<void> {
  const { act, quantity, at } = step
  const key = randomUUID()
  for (let tries = 0; ; tries += 1) {
    const where = (at + tries) % 2
    const { status } =
      act === 'add' ? await customer.add(quantity, key, where) : await customer.checkOut(key, where)
    if (status === 503) continue
    if (act === 'add' && status !== 200) throw new Error(`an addition was refused: ${status}`)
    return
  }
}

t.test('with any failure, each product is in the cart or in one order, once', async (t) => {
  const run = async (steps: readonly Step[]) => {
    const customer = newCustomer()
    const underWay: Promise<void>[] = []
    for (const each of steps) {
      fates.push(...each.fates)
      underWay.push(insist(customer, each))
      if (!each.together) await Promise.all(underWay.splice(0))
    }
    await Promise.all(underWay)
    fates.splice(0)
    const added = steps.reduce((sum, { act, quantity }) => sum + (act === 'add' ? quantity : 0), 0)
    const [ordered, inCart] = [await customer.ordered(), await customer.inCart()]
    const found = ordered.reduce((sum, one) => sum + one, inCart)
    if (found !== added) {
      throw new Error(`${added} were added; ${ordered} are ordered, ${inCart} in the cart`)
    }
  }
  const steps = fc.array(step, { maxLength: 12 })
  await t.resolves(fc.assert(fc.asyncProperty(steps, run), { numRuns: 100 }))
})

t.test('the order list has a limit, and the largest order fits', async (t) => {
  const { call, checkOut, ordered } = newCustomer()
  const { products } = (await call('GET', '/products')).body as { products: { id: string }[] }
  for (let n = 0; n < 42; n += 1) {
    for (const { id } of products) {
      const body = { product: id, quantity: 1_000 }
      t.equal((await call('POST', '/cart/items', { body })).status, 200)
    }
    t.equal((await checkOut(`${n}`)).status, 201)
  }
  t.same(await ordered(), Array(40).fill(12_000))
})
