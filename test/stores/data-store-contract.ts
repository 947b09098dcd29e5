import { deepStrictEqual } from 'node:assert/strict'
import type { Test } from 'tap'
import { randomId } from '../../src/core/secrets.ts'
import {
  anyVersion,
  type DataOwner,
  type DataRemoval,
  type DataStore,
  type DataWrite,
  type Expected,
} from '../../src/stores/data-store.ts'
import fc from '../support/properties.ts'
import { t0 } from '../support/sessions.ts'
import { testsWithStore } from './with-store.ts'

/** Tests the promises of a DataStore on a real store. `open` returns a store that may have other data. */
export function dataStoreContract(t: Test, open: () => Promise<DataStore>): void {
  const withStore = testsWithStore(t, open)

  withStore('fields are read as they were written', async (t, store) => {
    const owner = newOwner()
    const [cart, theme] = [write({ owner, field: 'cart' }), write({ owner, field: 'theme' })]
    t.same([await store.write(cart), await store.write(theme)], ['written', 'written'])
    t.same(await store.read(owner, 'all', t0), fieldsOf(cart, theme))
    t.same(await store.read(owner, ['theme', 'other'], t0), fieldsOf(theme))
    t.same(await store.read(newOwner(), 'all', t0), new Map())
  })

  withStore('a field may have any bytes, up to the largest size', async (t, store) => {
    for (const value of [Buffer.alloc(0), Buffer.from([0, 13, 10, 255]), Buffer.alloc(66_000, 7)]) {
      const one = write({ owner: newOwner(), value })
      t.equal(await store.write(one), 'written')
      t.same(await store.read(one.owner, 'all', t0), fieldsOf(one))
    }
  })

  withStore('owners with one id in two scopes are different', async (t, store) => {
    const id = randomId()
    const ofUser = write({ owner: { scope: 'user', id } })
    await store.write(ofUser)
    t.same(await store.read({ scope: 'session', id }, 'all', t0), new Map())
    await store.end({ scope: 'session', id }, later, t0)
    t.same(await store.read(ofUser.owner, 'all', t0), fieldsOf(ofUser))
  })

  withStore('a write checks its precondition', async (t, store) => {
    const owner = newOwner()
    const [first, second, third] = [write({ owner }), write({ owner }), write({ owner })]
    t.equal(await store.write({ ...first, expected: randomId() }), 'conflict')
    t.equal(await store.write({ ...first, expected: null }), 'written')
    t.equal(await store.write({ ...second, expected: null }), 'conflict')
    t.equal(await store.write({ ...second, expected: randomId() }), 'conflict')
    t.same(await store.read(owner, 'all', t0), fieldsOf(first))
    t.equal(await store.write({ ...second, expected: first.version }), 'written')
    t.equal(await store.write(third), 'written')
    t.same(await store.read(owner, 'all', t0), fieldsOf(third))
  })

  withStore('a removal checks its precondition', async (t, store) => {
    const one = write({ owner: newOwner() })
    const removal: DataRemoval = { owner: one.owner, field: one.field, nowMs: t0 }
    t.equal(await store.remove(removal), 'absent')
    t.equal(await store.remove({ ...removal, expected: one.version }), 'conflict')
    await store.write(one)
    t.equal(await store.remove({ ...removal, expected: randomId() }), 'conflict')
    t.equal(await store.remove({ ...removal, expected: one.version }), 'removed')
    t.equal(await store.remove(removal), 'absent')
    t.same(await store.read(one.owner, 'all', t0), new Map())
    t.equal(await store.write({ ...one, expected: one.version }), 'conflict', 'it was removed')
  })

  withStore(
    'a change of any present version needs the field, and loses to nobody',
    async (t, store) => {
      const owner = newOwner()
      const removal: DataRemoval = { owner, field: 'cart', expected: anyVersion, nowMs: t0 }
      t.equal(await store.write(write({ owner, expected: anyVersion })), 'conflict')
      t.equal(await store.remove(removal), 'conflict')
      await store.write(write({ owner }))
      const writes = Array.from({ length: 50 }, () => write({ owner, expected: anyVersion }))
      const outcomes = await Promise.all(writes.map((one) => store.write(one)))
      t.same(new Set(outcomes), new Set(['written']))
      t.equal(await store.remove(removal), 'removed')
      t.equal(await store.remove(removal), 'conflict')
      t.equal(
        await store.write(write({ owner, expected: anyVersion })),
        'conflict',
        'it was removed',
      )
    },
  )

  withStore('of concurrent writes with one precondition, one succeeds', async (t, store) => {
    const owner = newOwner()
    const first = write({ owner })
    await store.write(first)
    const writes = Array.from({ length: 50 }, () => write({ owner, expected: first.version }))
    const outcomes = await Promise.all(writes.map((one) => store.write(one)))
    t.equal(outcomes.filter((outcome) => outcome === 'written').length, 1)
    t.equal(outcomes.filter((outcome) => outcome === 'conflict').length, 49)
    const winner = writes[outcomes.indexOf('written')] as DataWrite
    t.same(await store.read(owner, 'all', t0), fieldsOf(winner))
  })

  withStore(
    'a field beyond the limit is refused, until another one is removed',
    async (t, store) => {
      const owner = newOwner()
      const fields = Array.from({ length: 4 }, (_, n) => write({ owner, field: `f${n}` }))
      const limited = fields.map((one) => ({ ...one, maxFields: 3 }))
      const outcomes = []
      for (const one of limited) outcomes.push(await store.write(one))
      t.same(outcomes, ['written', 'written', 'written', 'full'])
      t.equal(await store.write({ ...write({ owner, field: 'f0' }), maxFields: 3 }), 'written')
      await store.remove({ owner, field: 'f1', nowMs: t0 })
      t.equal(await store.write({ ...write({ owner, field: 'f3' }), maxFields: 3 }), 'written')
    },
  )

  withStore('ended data never comes back', async (t, store) => {
    const one = write({ owner: newOwner() })
    await store.write(one)
    await store.end(one.owner, later, t0)
    t.same(await store.read(one.owner, 'all', t0), new Map())
    t.equal(await store.write(write({ owner: one.owner })), 'ended')
    t.equal(await store.write(write({ owner: one.owner, expected: one.version })), 'ended')
    t.equal(await store.remove({ owner: one.owner, field: one.field, nowMs: t0 }), 'ended')
    await store.touch(one.owner, later, t0)
    t.same(await store.read(one.owner, 'all', t0), new Map())
    await store.end(one.owner, later, t0)
  })

  withStore('many owners end at the same time', async (t, store) => {
    const writes = Array.from({ length: 100 }, () => write({ owner: newOwner() }))
    await Promise.all(writes.map((one) => store.write(one)))
    const ending = writes.slice(1)
    // An end in the past leaves no mark.
    await Promise.all(ending.map(({ owner }, n) => store.end(owner, n % 2 === 0 ? later : t0, t0)))
    const [kept] = writes as [DataWrite]
    t.same(await store.read(kept.owner, 'all', t0), fieldsOf(kept))
    const outcomes = await Promise.all(ending.map(({ owner }) => store.write(write({ owner }))))
    t.same(
      outcomes,
      ending.map((_, n) => (n % 2 === 0 ? 'ended' : 'written')),
    )
  })

  withStore('an owner accepts data again once its end has expired', async (t, store) => {
    const [old, fresh] = [newOwner()].flatMap((owner) => [write({ owner }), write({ owner })])
    await store.write(old as DataWrite)
    await store.end((old as DataWrite).owner, t0, t0)
    t.equal(await store.write(fresh as DataWrite), 'written')
    t.same(await store.read((old as DataWrite).owner, 'all', t0), fieldsOf(fresh as DataWrite))
  })

  withStore('a write that races with the end leaves no data', async (t, store) => {
    for (let round = 0; round < 20; round++) {
      const owner = newOwner()
      const writes = Array.from({ length: 5 }, (_, n) => write({ owner, field: `f${n}` }))
      const [before, after] = [writes.slice(0, 2), writes.slice(2)]
      await Promise.all([
        ...before.map((one) => store.write(one)),
        store.end(owner, later, t0),
        ...after.map((one) => store.write(one)),
      ])
      t.same(await store.read(owner, 'all', t0), new Map())
    }
  })

  t.test('close() waits for the calls in progress', async (t) => {
    const store = await open()
    const owner = newOwner()
    const calls = [store.write(write({ owner })), store.read(owner, ['cart'], t0)]
    await store.close()
    const outcomes = await Promise.allSettled([...calls])
    t.same(
      outcomes.map(({ status }) => status),
      ['fulfilled', 'fulfilled'],
    )
  })

  withStore('property: an owner behaves like a map', async (_t, store) => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        const owner = newOwner()
        const model = new Map<string, DataWrite>()
        for (const { field, kind, expects } of steps) {
          const current = model.get(field)?.version ?? null
          const expected = expectation(expects, current)
          const isRefused = expects === 'wrong' || (expects === 'present' && current === null)
          if (kind === 'write') {
            const one = write({ owner, field, expected })
            const outcome = await store.write(one)
            if (outcome !== (isRefused ? 'conflict' : 'written')) return false
            if (outcome === 'written') model.set(field, one)
          } else {
            const outcome = await store.remove({ owner, field, expected, nowMs: t0 })
            const removed = current === null ? 'absent' : 'removed'
            if (outcome !== (isRefused ? 'conflict' : removed)) return false
            if (outcome === 'removed') model.delete(field)
          }
        }
        deepStrictEqual(await store.read(owner, 'all', t0), fieldsOf(...model.values()))
        return true
      }),
      { numRuns: 30 },
    )
  })
}

const hourMs = 3_600_000
/** Far ahead of the clocks of all stores. */
export const later = Math.max(t0, Date.now()) + hourMs

const step = fc.record({
  field: fc.constantFrom('cart', 'theme', 'step'),
  kind: fc.constantFrom('write', 'write', 'remove'),
  expects: fc.constantFrom('right', 'wrong', 'any', 'present'),
})

function expectation(
  expects: 'right' | 'wrong' | 'any' | 'present',
  current: string | null,
): Expected {
  if (expects === 'present') return anyVersion
  return { right: current, wrong: randomId(), any: undefined }[expects]
}

export function newOwner(): DataOwner {
  return { scope: 'session', id: randomId() }
}

/** Returns a write of a new value, changed by `given`. */
export function write(given: Partial<DataWrite> & { readonly owner: DataOwner }): DataWrite {
  const version = randomId()
  return {
    field: 'cart',
    value: Buffer.from(`value ${version}`),
    version,
    maxFields: 64,
    expiresAtMs: later,
    nowMs: t0,
    ...given,
  }
}

export function fieldsOf(...writes: readonly DataWrite[]) {
  return new Map(writes.map(({ field, value, version }) => [field, { value, version }]))
}
