import t from 'tap'
import { DataService } from '../../src/data/data-service.ts'
import { maxValueBytes } from '../../src/data/owned-fields.ts'
import { Updates } from '../../src/data/updates.ts'
import type { DataStore } from '../../src/stores/data-store.ts'
import type { AccessTokenClaims } from '../../src/tokens/access-token.ts'
import { FakeClock } from '../support/clock.ts'
import { dataSecret, lifetimes, newDataStore } from '../support/data.ts'
import { claimsWith, now_s } from '../support/tokens.ts'

t.test('an update that waits for another extends the lifetime from its own time', async (t) => {
  const clock = new FakeClock(now_s * 1000)
  const store = newDataStore(t)
  const expiries: number[] = []
  const recorded: Pick<DataStore, 'read' | 'write'> = {
    read: (...args) => store.read(...args),
    write(write) {
      expiries.push(write.expiresAtMs - now_s * 1000)
      return store.write(write)
    },
  }
  const data = new DataService({
    ...lifetimes,
    userTtlSeconds: 60,
    store: recorded as DataStore,
    secrets: [dataSecret],
    clock,
  })
  const updates = new Updates()
  const update = () => {
    const fields = data.fieldsOf('user', claimsWith() as unknown as AccessTokenClaims)
    return updates.update(fields, 'count', (found) => `${Number(found?.text ?? 0) + 1}`)
  }
  const all = [update()]
  for (let second = 0; second < 2; second += 1) {
    clock.advanceMs(1_000)
    all.push(update())
  }
  await Promise.all(all)
  t.same(expiries, [60_000, 62_000])
})

t.test(
  'updates of a long value are written a few at a time, to serve others between',
  async (t) => {
    const store = newDataStore(t)
    for (const [length, expected] of [
      [10, 2],
      [maxValueBytes, 11],
    ] as const) {
      let writes = 0
      const counted: Pick<DataStore, 'read' | 'write' | 'remove'> = {
        read: (...args) => store.read(...args),
        remove: (...args) => store.remove(...args),
        write(write) {
          writes += 1
          return store.write(write)
        },
      }
      const data = new DataService({
        ...lifetimes,
        store: counted as DataStore,
        secrets: [dataSecret],
        clock: new FakeClock(now_s * 1000),
      })
      const fields = data.fieldsOf('user', claimsWith() as unknown as AccessTokenClaims)
      const updates = new Updates()
      const applied: number[] = []
      const change = (n: number) => () => {
        applied.push(n)
        return JSON.stringify(String(n).padEnd(length - 2))
      }
      const all = Array.from({ length: 20 }, (_, n) => updates.update(fields, 'text', change(n)))
      await Promise.all(all)
      t.same(
        applied,
        Array.from({ length: 20 }, (_, n) => n),
        'in their order',
      )
      t.equal(writes, expected, `of ${length} characters`)
      await fields.delete('text')
    }
  },
)
