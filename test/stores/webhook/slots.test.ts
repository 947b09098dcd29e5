import t from 'tap'
import { Slots } from '../../../src/stores/webhook/slots.ts'

/** A work that ends when it is told to. */
function startWork(slots: Slots, signal = new AbortController().signal) {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const work = { hasBegun: false, end: resolve, fail: reject }
  const ended = slots.run(signal, () => {
    work.hasBegun = true
    return promise
  })
  return { work, ended }
}

t.test('so many run, so many wait, and the next one is refused', async (t) => {
  const slots = new Slots({ runningMax: 2, waitingMax: 1 })
  const [a, b, c] = [startWork(slots), startWork(slots), startWork(slots)]
  await t.rejects(startWork(slots).ended, { code: 'store_unavailable', retryAfter_s: 1 })
  t.strictSame([a.work.hasBegun, b.work.hasBegun, c.work.hasBegun], [true, true, false])
  b.work.fail(new Error('it broke'))
  await t.rejects(b.ended, { message: 'it broke' })
  t.ok(c.work.hasBegun, 'a work that fails makes room too')
  a.work.end('a')
  c.work.end('c')
  t.strictSame(await Promise.all([a.ended, c.ended]), ['a', 'c'])
  const d = startWork(slots)
  t.ok(d.work.hasBegun)
  d.work.end('d')
  t.equal(await d.ended, 'd')
})

t.test('who gives up while waiting is not run, and keeps nobody from it', async (t) => {
  const slots = new Slots({ runningMax: 1, waitingMax: 2 })
  const aborter = new AbortController()
  const [a, b, c] = [startWork(slots), startWork(slots, aborter.signal), startWork(slots)]
  aborter.abort(new Error('too late'))
  await t.rejects(b.ended, { message: 'too late' })
  a.work.end('a')
  await a.ended
  t.strictSame([b.work.hasBegun, c.work.hasBegun], [false, true])
  c.work.end('c')
  t.equal(await c.ended, 'c')
})
