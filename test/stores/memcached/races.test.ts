import t from 'tap'
import { randomId } from '../../../src/core/secrets.ts'
import { MemcachedDataStore } from '../../../src/stores/memcached/data-store.ts'
import { fieldKeyOf, locate } from '../../../src/stores/memcached/owner-items.ts'
import fc from '../../support/properties.ts'
import { t0 } from '../../support/sessions.ts'
import { later, newOwner, write } from '../data-store-contract.ts'
import { type Done, isLinearizable } from './histories.ts'
import { ModelMemcached } from './model-memcached.ts'

/** The steps of a caller, in order. `last` expects the version that the caller last read or wrote. */
const step = fc.record({
  kind: fc.constantFrom('write', 'write', 'write', 'remove', 'read', 'end', 'erase', 'drop'),
  field: fc.constantFrom('a', 'b'),
  expects: fc.constantFrom('any', 'absent', 'last'),
  /** For an eviction: whether the index is evicted. */
  isAll: fc.boolean(),
})
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

const callers = fc.array(fc.array(step, { minLength: 1, maxLength: 4 }), {
  minLength: 2,
  maxLength: 4,
})

/** Runs callers concurrently. The scheduler selects the caller of each command. */
async function historyOf(
  scheduler: fc.Scheduler,
  steps: readonly (readonly Step[])[],
  maxFields: number,
): Promise<Done[]> {
  const memcached = new ModelMemcached()
  const send = memcached.sender(() => scheduler.schedule(Promise.resolve()))
  const node = {
    name: 'node',
    run: <T>(call: (s: typeof send) => Promise<T>) => call(send),
    close: async () => {},
  }
  const store = new MemcachedDataStore([node])
  const owner = newOwner()
  const { indexKey } = locate(owner)
  const history: Done[] = []
  let time = 0

  const drop = async (field: string) => {
    await scheduler.schedule(Promise.resolve())
    const key = field === '' ? indexKey : fieldKeyOf(indexKey, field)
    // A retired item lasts longer than any call.
    if (memcached.items.get(key)?.data.length !== randomId().length) memcached.items.delete(key)
    return ''
  }
  const call = async (last: Map<string, string | null>, { kind, field, expects, isAll }: Step) => {
    const expected = { any: undefined, absent: null, last: last.get(field) ?? null }[expects]
    const one = write({ owner, field, expected, maxFields, value: Buffer.alloc(0) })
    const isWhole = kind === 'end' || kind === 'erase' || (kind === 'drop' && isAll)
    const begunAt = ++time
    const run: Record<Step['kind'], () => Promise<string>> = {
      write: () => store.write(one),
      remove: () => store.remove({ owner, field, expected, nowMs: t0 }),
      read: async () => (await store.read(owner, [field])).get(field)?.version ?? '',
      end: async () => String(await store.end(owner, later, t0)),
      erase: async () => String(await store.end(owner, t0, t0)),
      drop: () => drop(isAll ? '' : field),
    }
    const outcome = await run[kind]()
    if (kind === 'read') last.set(field, outcome === '' ? null : outcome)
    if (outcome === 'written') last.set(field, one.version)
    const { version } = one
    const done = { kind, version, expected, outcome, begunAt, doneAt: ++time }
    history.push({ ...done, field: isWhole ? '' : field })
  }
  const all = steps.map(async (own) => {
    const last = new Map<string, string | null>()
    for (const one of own) await call(last, one)
  })
  await scheduler.waitFor(Promise.all(all))
  // The remaining fields can be read, and no others.
  for (const field of ['a', 'b'] as const) {
    const reading = call(new Map(), { kind: 'read', field, expects: 'any', isAll: false })
    await scheduler.waitFor(reading)
  }
  return history
}

t.test('the outcome of a call is correct, whatever happens between its commands', async (t) => {
  const outcomes = new Set<string>()
  await fc.assert(
    fc.asyncProperty(
      fc.scheduler(),
      callers,
      fc.integer({ min: 1, max: 2 }),
      async (s, steps, max) => {
        const history = await historyOf(s, steps, max)
        for (const { kind, outcome } of history) outcomes.add(kind === 'read' ? 'read' : outcome)
        return isLinearizable(history, max)
      },
    ),
    { numRuns: 500 },
  )
  for (const outcome of ['written', 'conflict', 'full', 'ended', 'removed', 'absent']) {
    t.ok(outcomes.has(outcome), outcome)
  }
})

t.test('the check allows a first write to be lost only to a concurrent end', async (t) => {
  const first = { kind: 'write', field: 'a', expected: null, outcome: 'written' } as const
  const history = (endAt: number): Done[] => [
    { ...first, version: 'v', begunAt: 1, doneAt: 2 },
    { ...first, version: 'w', begunAt: 3, doneAt: 6 },
    { ...first, kind: 'end', outcome: '', version: '', begunAt: endAt, doneAt: endAt + 0.5 },
    { ...first, kind: 'read', outcome: '', version: '', begunAt: 8, doneAt: 9 },
  ]
  t.equal(isLinearizable(history(4), 1), true)
  t.equal(isLinearizable(history(7), 1), false, 'there was something, and it had not ended')
  t.equal(isLinearizable(history(2.3), 1), false, 'it had ended')
})

t.test('the check detects data that comes back', async (t) => {
  const common = { field: 'a', expected: undefined, version: 'v' }
  const at = (begunAt: number) => ({ begunAt, doneAt: begunAt + 0.5 })
  const history: Done[] = [
    { ...common, kind: 'write', outcome: 'written', ...at(1) },
    { ...common, kind: 'end', outcome: '', ...at(2) },
  ]
  t.equal(isLinearizable([...history, { ...common, kind: 'read', outcome: '', ...at(3) }], 1), true)
  t.equal(
    isLinearizable([...history, { ...common, kind: 'read', outcome: 'v', ...at(3) }], 1),
    false,
  )
})
