import { inspect } from 'node:util'
import { runInNewContext } from 'node:vm'
import t, { type Test } from 'tap'
import { z } from 'zod'
import { DataService } from '../../src/data/data-service.ts'
import { type FieldSchemas, TypedFields } from '../../src/data/typed-fields.ts'
import { Updates } from '../../src/data/updates.ts'
import type { AccessTokenClaims } from '../../src/tokens/access-token.ts'
import { FakeClock } from '../support/clock.ts'
import { dataSecret, lifetimes, newDataStore } from '../support/data.ts'
import { claimsWith, now_s } from '../support/tokens.ts'

/** Returns the fields of any session, as an application opens them. */
function open<S extends FieldSchemas>(t: Test, schemas: S) {
  const clock = new FakeClock(now_s * 1000)
  const store = newDataStore(t)
  const data = new DataService({ ...lifetimes, store, secrets: [dataSecret], clock })
  const shared = { updates: new Updates(), decoded: new WeakMap() }
  const ownedBy = (sid: string) =>
    data.fieldsOf('session', claimsWith({ sid }) as unknown as AccessTokenClaims)
  return {
    ownedBy,
    fieldsOf: (sid: string) => new TypedFields(schemas, () => ownedBy(sid), shared),
  }
}

t.test('a default or a catch that one user changes is not the value of another', async (t) => {
  const cart = z.object({ lines: z.array(z.string()) })
  const schemas = {
    byDefault: cart.default({ lines: [] }),
    byCatch: cart.catch({ lines: [] }),
    nested: z.object({ cart: cart.default({ lines: [] }) }),
  }
  const { fieldsOf, ownedBy } = open(t, schemas)
  for (const sid of ['ada', 'bob']) {
    await ownedBy(sid).set('byCatch', 'an older form')
    await ownedBy(sid).set('nested', {})
  }
  const [ada, bob] = [fieldsOf('ada'), fieldsOf('bob')]
  const names = ['byDefault', 'byCatch', 'nested'] as const
  const { byDefault, byCatch, nested } = await ada.getMany(names)
  for (const one of [byDefault, byCatch, nested?.cart]) one?.lines.push('secret')
  await ada.update('byDefault', (cart) => {
    cart.lines.push('secret')
    return cart
  })
  const empty = { lines: [] }
  t.same(await bob.getMany(names), { byDefault: empty, byCatch: empty, nested: { cart: empty } })
})

t.test('no value of another user changes how the names of a value are read', async (t) => {
  const { fieldsOf } = open(t, { cart: z.record(z.string(), z.json()) })
  // Once JSON.parse of Node 24 has read the second name, it finds that name in the next value, too.
  const planted = { first: 1, '24\\" monito': 2 }
  const value = { first: { '1': [] }, '24" monitor': 2, b: { '\\': '\\":' }, 'a\nb': {} }
  for (const cart of [planted, value]) {
    await fieldsOf('ada').set('cart', cart)
    t.equal(JSON.stringify(await fieldsOf('ada').get('cart')), JSON.stringify(cart))
  }
})

t.test(
  'the type of an absent field has undefined, unless its schema has a value for it',
  async (t) => {
    const schemas = {
      byCatch: z.coerce.number().catch(1),
      byDefault: z.coerce.number().default(2),
      coerced: z.coerce.number(),
      name: z.coerce.string(),
      note: z.coerce.string().nullable(),
      wrapped: z.string().catch('c').readonly(),
      lazy: z.lazy(() => z.string().default('d')),
    }
    const { fieldsOf } = open(t, schemas)
    const { byCatch, byDefault, coerced } = await fieldsOf('ada').getMany([
      'byCatch',
      'byDefault',
      'coerced',
    ])
    const present: number = byCatch + byDefault
    // @ts-expect-error: it may be undefined
    const absent: number = coerced
    t.same([present, absent], [3, undefined])
    t.same(
      await fieldsOf('bob').getMany(['name', 'note', 'wrapped', 'lazy']),
      { name: undefined, note: undefined, wrapped: 'c', lazy: 'd' },
      'not the text "undefined"',
    )
  },
)

t.test('an unchanged value is decoded once, and each caller gets a copy', async (t) => {
  let decodings = 0
  const lines = z.array(z.object({ sku: z.string(), tags: z.array(z.string()) }))
  const counted = lines.refine(() => {
    decodings += 1
    return true
  })
  const { fieldsOf } = open(t, { lines: counted })
  const stored = [{ sku: 'hat', tags: ['new'] }]
  await fieldsOf('ada').set('lines', stored)
  decodings = 0
  for (let read = 0; read < 3; read += 1) {
    const value = await fieldsOf('ada').get('lines')
    t.same(value, stored)
    value?.[0]?.tags.push('changed')
    value?.push({ sku: 'bag', tags: [] })
  }
  t.equal(decodings, 1)
  const both = await fieldsOf('ada').update('lines', (value = []) => {
    t.same(value, stored)
    value[0]?.tags.push('sale')
    return value
  })
  t.same(both, [{ sku: 'hat', tags: ['new', 'sale'] }])
  t.same(await fieldsOf('ada').get('lines'), both)
  t.same(await fieldsOf('bob').get('lines'), undefined)
})

t.test('an update returns the value that was stored', async (t) => {
  const { fieldsOf } = open(t, { user: z.object({ name: z.string().trim() }) })
  const given = { name: ' Ada ', role: 'admin' }
  const fields = fieldsOf('ada')
  const together = [fields.update('user', () => given), fields.update('user', () => given)]
  for (const updated of await Promise.all(together)) t.same(updated, { name: 'Ada' })
  t.same(await fields.get('user'), { name: 'Ada' })
})

const date = z.codec(z.iso.datetime(), z.date(), {
  decode: (text) => new Date(text),
  encode: (value) => value.toISOString(),
})

t.test('a date, a map or a set of a default or a catch belongs to one caller', async (t) => {
  const set = z.codec(z.array(z.string()), z.set(z.string()), {
    decode: (list) => new Set(list),
    encode: (value) => [...value],
  })
  const map = z.codec(z.array(z.tuple([z.string(), date])), z.map(z.string(), z.date()), {
    decode: (entries) => new Map(entries.map(([name, text]) => [name, new Date(text)])),
    encode: (value) => [...value],
  })
  const since = new Date(0)
  const { fieldsOf, ownedBy } = open(t, {
    byDefault: date.default(since),
    byCatch: date.catch(since),
    nested: z.object({
      seen: set.catch(new Set(['hat'])),
      last: map.default(new Map([['hat', since]])),
    }),
  })
  for (const sid of ['ada', 'bob']) {
    await ownedBy(sid).set('byCatch', 'an older form')
    await ownedBy(sid).set('nested', { seen: 'an older form' })
  }
  const names = ['byDefault', 'byCatch', 'nested'] as const
  const { byDefault, byCatch, nested } = await fieldsOf('ada').getMany(names)
  for (const one of [byDefault, byCatch, nested?.last.get('hat')]) one?.setFullYear(1999)
  nested?.seen.add('secret')
  nested?.last.delete('hat')
  const epoch = new Date(0)
  t.same(await fieldsOf('bob').getMany(names), {
    byDefault: epoch,
    byCatch: epoch,
    nested: { seen: new Set(['hat']), last: new Map([['hat', epoch]]) },
  })
})

t.test('a value that needs far more memory than its text is not kept', async (t) => {
  let decodings = 0
  const counted = z.any().refine(() => {
    decodings += 1
    return true
  })
  const { fieldsOf, ownedBy } = open(t, { any: counted })
  const row = { id: 'shirt', quantity: 1, price_cents: 5_900 }
  for (const [value, expected] of [
    [Array(1_000).fill(row), 1],
    [Array(1_000).fill('text'), 1],
    [[[], {}], 1],
    [Array(1_000).fill([]), 2],
    [Array(1_000).fill({}), 2],
    [Array(1_000).fill([[[[]]]]), 2],
  ] as const) {
    await ownedBy('ada').set('any', value)
    decodings = 0
    for (let read = 0; read < 2; read += 1) t.same(await fieldsOf('ada').get('any'), value)
    t.equal(decodings, expected)
  }
})

t.test('a value that is nested too deeply is refused as one of a wrong form', async (t) => {
  const { fieldsOf, ownedBy } = open(t, { any: z.any(), json: z.json() })
  const textOf = (levels: number) => '['.repeat(levels) + ']'.repeat(levels)
  const nested = (levels: number) => JSON.parse(textOf(levels))
  await t.rejects(fieldsOf('ada').set('json', nested(30_000)), { code: 'data_value_invalid' })
  await t.rejects(fieldsOf('ada').set('any', nested(30_000)), { code: 'data_value_invalid' })
  const unexpected = { code: 'data_value_unexpected' }
  for (const field of ['any', 'json'] as const) {
    // A verifier accepts deeper values than a schema does.
    await ownedBy('ada').setText(field, textOf(30_000), undefined)
    await t.rejects(fieldsOf('ada').get(field), unexpected)
    await t.rejects(
      fieldsOf('ada').update(field, (value) => value),
      unexpected,
    )
  }
})

t.test(
  'a value with thousands of problems is refused in few words, and examined once',
  async (t) => {
    let examined = 0
    const never = z.custom(() => {
      examined += 1
      return false
    })
    const { fieldsOf, ownedBy } = open(t, { list: z.array(never) })
    const values = Array<number>(3000).fill(1)
    await ownedBy('ada').set('list', values)
    for (let read = 0; read < 2; read += 1) {
      const error = await fieldsOf('ada')
        .get('list')
        .catch((error: unknown) => error)
      t.match(error, {
        code: 'data_value_unexpected',
        cause: { message: /^The field list .* \/0 / },
      })
      t.ok(inspect(error).length < 5000)
    }
    t.equal(examined, values.length)
    const refused = fieldsOf('ada').set('list', values as never)
    const error = await refused.catch((error: unknown) => error)
    t.match(error, { code: 'data_value_invalid', problems: { length: 20 } })
  },
)

t.test('callers share no value that cannot be copied', async (t) => {
  const { fieldsOf } = open(t, { dates: z.object({ last: date }) })
  const last = new Date(0)
  await fieldsOf('ada').set('dates', { last })
  const first = await fieldsOf('ada').get('dates')
  first?.last.setFullYear(1999)
  t.same(await fieldsOf('ada').get('dates'), { last })
})

t.test('a member named __proto__ stays a member', async (t) => {
  const { fieldsOf } = open(t, { any: z.any() })
  const text = '{"__proto__":{"isAdmin":true}}'
  await fieldsOf('ada').set('any', JSON.parse(text))
  const value = await fieldsOf('ada').get('any')
  t.equal(JSON.stringify(value), text)
  t.equal(value.isAdmin, undefined)
})

t.test('a value that JSON would change is refused', async (t) => {
  const schemas = {
    any: z.any(),
    date: z.date(),
    map: z.map(z.string(), z.string()),
    list: z.array(z.string().optional()),
    note: z.string().optional(),
    parts: z.object({ a: z.string().optional() }),
  }
  const { fieldsOf } = open(t, schemas)
  const fields = fieldsOf('ada')
  const invalid = { code: 'data_value_invalid' }
  // @ts-expect-error: a field that exists has a value
  await t.rejects(fields.set('note', undefined), invalid)
  // @ts-expect-error: the note may be absent
  const unchanged = fields.update('note', (note) => note)
  await t.rejects(unchanged, invalid)
  const note: string = await fields.update('note', () => 'a text')
  t.equal(note, 'a text')
  await t.rejects(fields.set('date', new Date()), invalid)
  await t.rejects(fields.set('map', new Map([['a', 'b']])), invalid)
  await t.rejects(fields.set('list', [undefined]), invalid)
  const circular: Record<string, unknown> = {}
  circular.self = circular
  for (const value of [Number.NaN, [1 / 0], { a: new Set() }, () => {}, Symbol('s'), circular]) {
    await t.rejects(fields.set('any', value), invalid)
  }
  await fields.set('parts', { a: undefined })
  t.same(await fields.get('parts'), {})
})

t.test('a change that returns a promise is refused', async (t) => {
  const { fieldsOf } = open(t, { parts: z.object({ a: z.string().optional() }) })
  const fields = fieldsOf('ada')
  await fields.set('parts', { a: 'kept' })
  // In a context of node:vm, as in a test of Jest, a promise has another class.
  const foreign = runInNewContext('async () => ({ a: "later" })')
  const changes = [async () => ({ a: 'later' }), () => Promise.reject(new Error('failed')), foreign]
  for (const change of changes) {
    await t.rejects(fields.update('parts', change as never), /parts .* promise/)
  }
  t.same(await fields.get('parts'), { a: 'kept' })
})

t.test('a refused value is described by JSON pointers', async (t) => {
  const { fieldsOf } = open(t, { sizes: z.record(z.string(), z.array(z.int())) })
  await t.rejects(fieldsOf('ada').set('sizes', { 'a/b~': [1, 0.5] }), {
    code: 'data_value_invalid',
    problems: [{ pointer: '/a~1b~0/1' }],
  })
})
