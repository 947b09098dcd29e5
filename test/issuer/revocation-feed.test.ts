import t, { type Test } from 'tap'
import { GatepassError } from '../../src/core/errors.ts'
import { RevocationFeed } from '../../src/issuer/revocation-feed.ts'
import type { Revocation } from '../../src/stores/ports.ts'
import { FakeClock } from '../support/clock.ts'

const keptMs = 1_000

/** A log that a test writes, and takes away. */
class Log {
  readonly entries: Revocation[] = []
  isAway = false
  readonly #prefix: string

  constructor(prefix = 'sid') {
    this.#prefix = prefix
  }

  add(count: number, atMs: number): void {
    for (let n = 0; n < count; n++) {
      this.append('session', `${this.#prefix}-${this.entries.length + 1}`, atMs)
    }
  }

  append(kind: Revocation['kind'], id: string, atMs: number, expiresAtMs = atMs + keptMs): void {
    this.entries.push({ position: String(this.entries.length + 1), kind, id, atMs, expiresAtMs })
  }

  async revocationsAfter(position: string, limit: number): Promise<Revocation[]> {
    if (this.isAway) throw new GatepassError('store_unavailable')
    return this.entries.slice(Number(position), Number(position) + limit)
  }
}

async function open(t: Test, log: Log) {
  const clock = new FakeClock()
  const feed = await RevocationFeed.open({ sessions: log, clock, expiryClock: clock, keptMs })
  t.teardown(() => feed.close())
  return { feed, clock }
}

t.test('reads all pages and delivers new entries', async (t) => {
  const log = new Log()
  const { feed, clock } = await open(t, log)
  const told: string[] = []
  const unsubscribe = feed.subscribe((entries) => told.push(...entries.map(({ id }) => id)))
  log.add(2_500, clock.nowMs())
  await feed.refresh()
  t.match(feed.position, /^2500\./)
  t.equal(feed.entriesAfter().length, 2_500)
  t.same(
    told,
    log.entries.map(({ id }) => id),
  )
  unsubscribe()
  const { position: previous } = feed
  log.add(1, clock.nowMs())
  await feed.refresh()
  t.equal(told.length, 2_500)
  const next = { ...log.entries.at(-1), position: feed.position, previous }
  t.same(feed.entriesAfter(previous), [next])
})

t.test('refreshNow sees entries that were added during a poll in progress', async (t) => {
  const log = new Log()
  const { feed, clock } = await open(t, log)
  const underWay = feed.refresh()
  log.add(1, clock.nowMs())
  await feed.refreshNow()
  t.equal(feed.entriesAfter().length, 1)
  await underWay
})

t.test('remembers recent revocations of all sessions of a user', async (t) => {
  const log = new Log()
  const { feed, clock } = await open(t, log)
  const end = async (kind: 'user' | 'session' | 'all', id: string) => {
    log.append(kind, id, clock.nowMs())
    await feed.refresh()
  }
  const second = () => Math.floor(clock.nowMs() / 1000)
  await end('user', 'ada')
  await end('session', 'eve')
  const first = second()
  t.equal(feed.revokedUntilSeconds('ada'), first)
  t.equal(feed.revokedUntilSeconds('eve'), 0)
  clock.advanceMs(5_000)
  await end('all', '')
  t.equal(feed.revokedUntilSeconds('ada'), second())
  t.equal(feed.revokedUntilSeconds('eve'), second())
  clock.advanceMs(10_001)
  await feed.refresh()
  t.equal(feed.revokedUntilSeconds('ada'), 0)
})

t.test('A28: of two revocations of a user, the later time counts', async (t) => {
  const log = new Log()
  const { feed, clock } = await open(t, log)
  const revoke = async (atMs: number) => {
    log.append('user', 'ada', atMs)
    await feed.refresh()
  }
  const nowMs = clock.nowMs()
  await revoke(nowMs)
  await revoke(nowMs - 3_000)
  t.equal(feed.revokedUntilSeconds('ada'), Math.floor(nowMs / 1000))
})

t.test('a log that restarts at the same positions is not mistaken for the old one', async (t) => {
  const { feed: before, clock } = await open(t, logOf(2, 'a'))
  const { feed: after } = await open(t, logOf(3, 'b'))
  const { feed: replica } = await open(t, logOf(2, 'a'))
  await Promise.all([before, after, replica].map((feed) => feed.refresh()))
  t.equal(replica.position, before.position, 'replicas of one log agree')
  t.equal(after.entriesAfter(before.position).length, 3, 'all of it is told')
  t.same(
    after.entriesAfter().map(({ previous }) => previous),
    ['', ...after.entriesAfter().map(({ position }) => position)].slice(0, 3),
    'each names the one before',
  )
  t.equal(after.readAtMs, clock.nowMs())

  function logOf(count: number, prefix: string): Log {
    const log = new Log(prefix)
    log.add(count, new FakeClock().nowMs())
    return log
  }
})

t.test('drops expired entries and continues after them', async (t) => {
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
  const last = { id: log.entries.at(-1)?.id }
  t.match(feed.entriesAfter(), [last])
  t.match(feed.entriesAfter('2'), [last], 'a position that is gone gives all')
})

t.test('A21: an entry stays until its own tokens have expired', async (t) => {
  const log = new Log()
  const { feed, clock } = await open(t, log)
  t.equal(feed.keptMs, keptMs)
  const startMs = clock.nowMs()
  log.append('session', 'of longer tokens', startMs, startMs + 10 * keptMs)
  log.append('session', 'of shorter tokens', startMs)
  await feed.refresh()
  t.equal(feed.keptMs, 10 * keptMs)
  clock.advanceMs(9 * keptMs)
  await feed.refresh()
  t.match(feed.entriesAfter()[0], { id: 'of longer tokens' })
  t.same(feed.entriesAfter(feed.position), [], 'a follower at the end sees no gap')
  clock.advanceMs(keptMs)
  await feed.refresh()
  t.same(feed.entriesAfter(), [])
})

t.test('the newest entries after a position, which a stranger may choose', async (t) => {
  const log = new Log()
  const { feed, clock } = await open(t, log)
  log.add(2_500, clock.nowMs())
  await feed.refresh()
  const all = feed.entriesAfter()
  for (const position of ['unknown', all[10]?.position ?? '', '']) {
    t.same(feed.entriesAfter(position, 2), all.slice(-2), position)
  }
  t.same(feed.entriesAfter(all[2_498]?.position, 2), all.slice(-1))
})

t.test(
  'keeps its entries while the store is unavailable, reports the error, and catches up',
  async (t) => {
    const log = new Log()
    const { feed, clock } = await open(t, log)
    log.add(1, clock.nowMs())
    await feed.refresh()
    const readAtMs = feed.readAtMs
    clock.advanceMs(10)
    log.isAway = true
    log.add(1, clock.nowMs())
    await feed.refresh()
    t.match(feed.lastError, { code: 'store_unavailable' })
    t.equal(feed.readAtMs, readAtMs)
    t.equal(feed.entriesAfter().length, 1)
    log.isAway = false
    await feed.refresh()
    t.equal(feed.lastError, null)
    t.equal(feed.entriesAfter().length, 2)
  },
)
