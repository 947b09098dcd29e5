import type { Test } from 'tap'
import { randomId } from '../../src/core/secrets.ts'
import { expiryMarginMs, type SessionStore } from '../../src/stores/ports.ts'
import { closedWith } from '../support/closed-with.ts'
import { t0 } from '../support/sessions.ts'
import { testsWithStore } from './with-store.ts'

const expiresAtMs = t0 + 600_000
const payload = '{"client_id":"wéb","scope":"data:read"}'

/** The promises of a session store about authorization codes, challenges and `jti`s. */
export function oneTimeContract(t: Test, open: () => Promise<SessionStore>): void {
  const withStore = testsWithStore(t, open)

  withStore('one-time value: a later use learns of the first one', async (t, store) => {
    const id = randomId()
    t.equal(await store.findOneTime(id, t0), null)
    t.same(await store.takeOneTime(id, 'sid-1', t0), { state: 'unknown' })
    await store.putOneTime(id, payload, expiresAtMs)
    t.equal(await store.findOneTime(id, t0), payload)
    t.same(await store.takeOneTime(id, 'sid-1', t0), { state: 'first', payload })
    t.same(await store.takeOneTime(id, 'sid-1', t0), { state: 'first', payload }, 'the same use')
    const used = { state: 'used', payload, takenBy: 'sid-1' }
    t.same(await store.takeOneTime(id, 'sid-2', t0), used)
    t.same(await store.takeOneTime(id, 'sid-3', expiresAtMs - 1), used)
    t.equal(await store.findOneTime(id, t0), null, 'a taken value is not found')
  })

  withStore('one-time value: expires, taken or not', async (t, store) => {
    const [free, taken] = [randomId(), randomId()]
    for (const id of [free, taken]) await store.putOneTime(id, payload, expiresAtMs)
    await store.takeOneTime(taken, 'sid-1', t0)
    t.equal(await store.findOneTime(free, expiresAtMs), null)
    for (const id of [free, taken]) {
      t.same(await store.takeOneTime(id, 'sid-2', expiresAtMs), { state: 'unknown' })
    }
    t.same(await store.takeOneTime(free, 'sid-2', expiresAtMs - 1), { state: 'first', payload })
  })

  withStore('one-time value: of 50 concurrent uses, one is first', async (t, store) => {
    const id = randomId()
    await store.putOneTime(id, payload, expiresAtMs)
    const uses = Array.from({ length: 50 }, (_, n) => `sid-${n}`)
    const results = await Promise.all(uses.map((use) => store.takeOneTime(id, use, t0)))
    const firsts = uses.filter((_, n) => results[n]?.state === 'first')
    t.equal(firsts.length, 1)
    const used = { state: 'used', payload, takenBy: firsts[0] }
    t.same(
      results.filter(({ state }) => state !== 'first'),
      Array.from({ length: 49 }, () => used),
    )
  })

  withStore('one-time value: a deleted one can be stored again', async (t, store) => {
    const [free, taken] = [randomId(), randomId()]
    for (const id of [free, taken]) await store.putOneTime(id, payload, expiresAtMs)
    await store.takeOneTime(taken, 'sid-1', t0)
    for (const id of [free, taken, randomId()]) {
      await store.deleteOneTime(id)
      t.equal(await store.findOneTime(id, t0), null)
      t.same(await store.takeOneTime(id, 'sid-2', t0), { state: 'unknown' })
    }
    for (const id of [free, taken]) {
      await store.putOneTime(id, 'again', expiresAtMs)
      t.equal(await store.findOneTime(id, t0), 'again')
    }
  })

  withStore('a second value or claim of an id changes nothing', async (t, store) => {
    const [value, claimed] = [randomId(), randomId()]
    await store.putOneTime(value, payload, t0 + 1_000)
    await store.putOneTime(value, 'other', expiresAtMs)
    t.equal(await store.findOneTime(value, t0), payload)
    t.equal(await store.findOneTime(value, t0 + 1_000), null)
    t.equal(await store.claimOnce(claimed, expiresAtMs), true)
    t.equal(await store.claimOnce(claimed, Date.now() - 3_600_000), false)
    t.equal(await store.claimOnce(claimed, expiresAtMs), false, 'the first claim still counts')
  })

  withStore('claim: of 50 concurrent claims, one succeeds', async (t, store) => {
    const id = randomId()
    const claims = Array.from({ length: 50 }, () => store.claimOnce(id, expiresAtMs))
    t.equal((await Promise.all(claims)).filter(Boolean).length, 1)
    t.equal(await store.claimOnce(id, expiresAtMs), false)
    t.equal(await store.claimOnce(randomId(), expiresAtMs), true)
  })

  withStore('one-time values and claims leave the sessions and the log alone', async (t, store) => {
    const id = randomId()
    await store.putOneTime(id, payload, expiresAtMs)
    await store.takeOneTime(id, 'sid-1', t0)
    await store.claimOnce(randomId(), expiresAtMs)
    t.same(await store.revocationsAfter('', 10), [])
    t.same(await store.listBySub('user-1', t0), [])
  })
}

/** For stores that do not remove expired values by themselves. */
export function oneTimeRemoval(t: Test, open: () => Promise<SessionStore>): void {
  t.test('one-time values: removes expired values, a slice at a time', async (t) => {
    const store = closedWith(t, await open())
    const expired = Array.from({ length: 25 }, randomId)
    for (const id of expired) await store.claimOnce(id, t0 + 1_000)
    const later = randomId()
    await store.putOneTime(later, payload, expiresAtMs)
    let slices = 1
    const removedAtMs = t0 + 1_000 + expiryMarginMs
    while (await store.removeExpired(removedAtMs - 1, 10));
    t.equal(await store.claimOnce(expired[0] ?? '', expiresAtMs), false, 'a clock may be behind')
    while (await store.removeExpired(removedAtMs, 10)) slices++
    t.ok(slices >= 3)
    for (const id of expired) t.equal(await store.claimOnce(id, expiresAtMs), true)
    t.equal(await store.findOneTime(later, t0), payload)
  })
}
