import t, { type Test } from 'tap'
import { GatepassError } from '../../src/core/errors.ts'
import { RevocationFeed } from '../../src/issuer/revocation-feed.ts'
import type { Revocation } from '../../src/stores/ports.ts'
import { FakeClock } from '../support/clock.ts'

/** A log that a test writes, and takes away. */
class Log {
  readonly entries: Revocation[] = []
  isAway = false

  add(count: number, atMs: number): void {
    for (let n = 0; n < count; n++) {
      const position = String(this.entries.length + 1)
      this.entries.push({ position, kind: 'session', id: `sid-${position}`, atMs })
    }
  }

  async revocationsAfter(position: string, limit: number): Promise<Revocation[]> {
    if (this.isAway) throw new GatepassError('store_unavailable')
    return this.entries.slice(Number(position), Number(position) + limit)
  }
}

async function open(t: Test, log: Log) {
  const clock = new FakeClock()
  const feed = await RevocationFeed.open({ sessions: log, clock, keptMs: 1_000 })
  t.teardown(() => feed.close())
  return { feed, clock }
}

t.test('reads all there is, however many pages, and hands over what is new', async (t) => {
  const log = new Log()
  const { feed, clock } = await open(t, log)
  const told: string[] = []
  const unsubscribe = feed.subscribe((entries) => told.push(...entries.map(({ id }) => id)))
  log.add(2_500, clock.nowMs())
  await feed.refresh()
  t.equal(feed.position, '2500')
  t.equal(feed.entriesAfter().length, 2_500)
  t.same(
    told,
    log.entries.map(({ id }) => id),
  )
  unsubscribe()
  log.add(1, clock.nowMs())
  await feed.refresh()
  t.equal(told.length, 2_500)
  t.same(feed.entriesAfter('2500'), [log.entries.at(-1)])
})

t.test('forgets what is moot, and still goes on from there', async (t) => {
  const log = new Log()
  const { feed, clock } = await open(t, log)
  log.add(3, clock.nowMs())
  await feed.refresh()
  clock.advanceMs(999)
  await feed.refresh()
  t.equal(feed.entriesAfter().length, 3)
  clock.advanceMs(1)
  log.add(1, clock.nowMs())
  await feed.refresh()
  t.same(feed.entriesAfter(), [log.entries.at(-1)])
  t.same(feed.entriesAfter('2'), [log.entries.at(-1)], 'a position that is gone gives all')
})

t.test('keeps what it has while the store is away, says so, and catches up', async (t) => {
  const log = new Log()
  const { feed, clock } = await open(t, log)
  log.add(1, clock.nowMs())
  await feed.refresh()
  log.isAway = true
  log.add(1, clock.nowMs())
  await feed.refresh()
  t.match(feed.lastError, { code: 'store_unavailable' })
  t.equal(feed.entriesAfter().length, 1)
  log.isAway = false
  await feed.refresh()
  t.equal(feed.lastError, null)
  t.equal(feed.entriesAfter().length, 2)
})
