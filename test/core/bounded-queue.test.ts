import { mock } from 'node:test'
import t from 'tap'
import { BoundedQueue, type QueueLimits } from '../../src/core/bounded-queue.ts'
import { FakeClock } from '../support/clock.ts'

/** The queue measures durations by it. */
const clock = new FakeClock(0)
mock.method(performance, 'now', () => clock.nowMs())

/** Work that ends on demand. */
function work() {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  let started = false
  const run = () => {
    started = true
    return promise
  }
  return { run, resolve, reject, isStarted: () => started }
}

type Work = () => Promise<unknown>
type WorkQueue = BoundedQueue<Work, unknown>

/** A queue that records the size of its batches. */
function queueWith(limits: Partial<QueueLimits>) {
  const all = { maxConcurrent: 1, maxQueued: 100, maxWaitMs: 60_000, ...limits }
  const groups: number[] = []
  const queue: WorkQueue = new BoundedQueue(all, (works) => {
    groups.push(works.length)
    return Promise.allSettled(works.map((work) => work()))
  })
  return { queue, groups }
}

/** Runs jobs of a duration until the average has converged to it. */
async function teach(queue: WorkQueue, durationMs: number) {
  for (let round = 0; round < 100; round += 1) {
    await queue.run(async () => {
      clock.advanceMs(durationMs)
    })
  }
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

t.test('jobs run up to the limit, and further jobs wait in order', async (t) => {
  const { queue } = queueWith({ maxConcurrent: 2, maxQueued: 2 })
  const works = [work(), work(), work(), work()]
  const answers = works.map(({ run }) => queue.run(run))
  await turn()
  t.strictSame(
    works.map((one) => one.isStarted()),
    [true, true, false, false],
  )
  works[1]?.resolve('second')
  t.equal(await answers[1], 'second')
  await turn()
  t.strictSame(
    works.map((one) => one.isStarted()),
    [true, true, true, false],
  )
  for (const one of works) one.resolve('done')
  t.strictSame(await Promise.all(answers), ['done', 'second', 'done', 'done'])
})

t.test('a free slot goes to the job that waits longest', async (t) => {
  const { queue } = queueWith({ maxConcurrent: 1, maxQueued: 2 })
  const [first, second, third] = [work(), work(), work()]
  const firstAnswer = queue.run(first.run)
  const secondAnswer = queue.run(second.run)
  await turn()
  first.resolve('first')
  await firstAnswer
  const thirdAnswer = queue.run(third.run)
  await turn()
  t.strictSame([second.isStarted(), third.isStarted()], [true, false])
  second.resolve('second')
  third.resolve('third')
  t.strictSame(await Promise.all([secondAnswer, thirdAnswer]), ['second', 'third'])
})

t.test('a full queue rejects with the time that it takes to drain', async (t) => {
  const { queue } = queueWith({ maxConcurrent: 2, maxQueued: 10 })
  await teach(queue, 4000)
  const works = Array.from({ length: 12 }, work)
  const answers = works.map(({ run }) => queue.run(run))
  const refused = work()
  await t.rejects(queue.run(refused.run), {
    code: 'overloaded',
    status: 503,
    retryAfterSeconds: 20,
  })
  t.notOk(refused.isStarted())
  for (const one of works) one.resolve('done')
  await Promise.all(answers)
  t.equal(await queue.run(async () => 'open again'), 'open again')
})

t.test('Retry-After stays within 1 to 60 s', async (t) => {
  const { queue } = queueWith({ maxQueued: 1, maxWaitMs: 600_000 })
  const overloaded = async (retryAfterSeconds: number) => {
    const works = [work(), work()]
    const answers = works.map(({ run }) => queue.run(run))
    await t.rejects(queue.run(work().run), { code: 'overloaded', retryAfterSeconds })
    for (const one of works) one.resolve('done')
    await Promise.all(answers)
  }
  await overloaded(1)
  await queue.run(async () => {
    clock.advanceMs(3_600_000)
  })
  await overloaded(60)
})

t.test('a failed job frees its slot', async (t) => {
  const { queue } = queueWith({ maxConcurrent: 1, maxQueued: 1 })
  const failing = queue.run(() => Promise.reject(new Error('no memory')))
  const next = queue.run(async () => 'next')
  await t.rejects(failing, { message: 'no memory' })
  t.equal(await next, 'next')
})

t.test('a job that cannot start in time is rejected on arrival', async (t) => {
  const { queue } = queueWith({ maxConcurrent: 2, maxWaitMs: 5000 })
  await teach(queue, 4000)
  const works = Array.from({ length: 4 }, work)
  const answers = works.map(({ run }) => queue.run(run))
  const refused = work()
  await t.rejects(queue.run(refused.run), { code: 'overloaded', retryAfterSeconds: 4 })
  t.notOk(refused.isStarted())
  for (const one of works) one.resolve('done')
  t.strictSame(await Promise.all(answers), ['done', 'done', 'done', 'done'])
})

t.test('a job whose deadline passes is rejected, and the next job runs', async (t) => {
  const { queue } = queueWith({ maxWaitMs: 60 })
  const [first, late, next] = [work(), work(), work()]
  const firstAnswer = queue.run(first.run)
  await t.rejects(queue.run(late.run), { code: 'overloaded', status: 503, retryAfterSeconds: 1 })
  const nextAnswer = queue.run(next.run)
  first.resolve('first')
  // The deadline of a job is one for its start: `next` runs while it passes.
  await t.rejects(queue.run(late.run), { code: 'overloaded' })
  next.resolve('next')
  t.strictSame(await Promise.all([firstAnswer, nextAnswer]), ['first', 'next'])
  t.strictSame([late.isStarted(), next.isStarted()], [false, true])
})

t.test('a process that stood still does not refuse jobs for long', async (t) => {
  const { queue } = queueWith({ maxWaitMs: 2000 })
  await queue.run(async () => {
    clock.advanceMs(3_600_000)
  })
  for (let round = 0; round < 10; round += 1) await queue.run(async () => {})
  const first = work()
  const answers = [queue.run(first.run), queue.run(async () => 'second')]
  first.resolve('first')
  t.strictSame(await Promise.all(answers), ['first', 'second'])
})

/** Runs jobs that end in order; the second fails. */
async function serve(queue: WorkQueue, count: number): Promise<unknown[]> {
  const works = Array.from({ length: count }, work)
  const answers = works.map(({ run }) => queue.run(run))
  for (const [index, { resolve, reject }] of works.entries()) {
    if (index === 1) reject(new Error('it failed'))
    else resolve(`${index}`)
  }
  return (await Promise.allSettled(answers)).map((answer) =>
    answer.status === 'fulfilled' ? answer.value : answer.reason.message,
  )
}

t.test('batches form while jobs wait, up to the limit', async (t) => {
  const { queue, groups } = queueWith({ maxBatch: 3 })
  t.strictSame(await serve(queue, 5), ['0', 'it failed', '2', '3', '4'])
  t.strictSame(groups.splice(0), [1, 2, 1, 1])
  await serve(queue, 12)
  t.strictSame(groups, [1, 3, 3, 3, 1, 1])
})

t.test('a batch takes at most its share of half of the waiting jobs', async (t) => {
  const alone = queueWith({ maxBatch: 100 })
  await serve(alone.queue, 10)
  t.strictSame(alone.groups, [1, 5, 2, 1, 1])
  const beside = queueWith({ maxBatch: 100, maxConcurrent: 2 })
  await serve(beside.queue, 10)
  t.strictSame(beside.groups, [1, 1, 2, 2, 1, 1, 1, 1])
})

t.test('the jobs of a batch resolve together', async (t) => {
  const { queue } = queueWith({ maxBatch: 2 })
  const works = Array.from({ length: 4 }, work)
  const [first, second, third] = works
  const answered: number[] = []
  const answers = works.map(async ({ run }, index) => {
    await queue.run(run)
    answered.push(index)
  })
  first?.resolve('done')
  await turn()
  t.strictSame(answered, [0])
  second?.resolve('done')
  await turn()
  t.strictSame(answered, [0])
  third?.resolve('done')
  await turn()
  t.strictSame(answered, [0, 1, 2])
  works[3]?.resolve('done')
  await Promise.all(answers)
})

t.test('a rejected batch rejects all its jobs', async (t) => {
  const limits = { maxConcurrent: 1, maxQueued: 10, maxWaitMs: 60_000, maxBatch: 2 }
  let isBroken = false
  const queue = new BoundedQueue<string, string>(limits, async (jobs) => {
    await turn()
    if (isBroken) throw new Error('out of order')
    return jobs.map((value) => ({ status: 'fulfilled', value }))
  })
  const answers = ['first', 'second', 'third', 'fourth'].map((job) => queue.run(job))
  t.equal(await answers[0], 'first')
  isBroken = true
  await t.rejects(Promise.all([answers[1]]), { message: 'out of order' })
  await t.rejects(Promise.all([answers[2]]), { message: 'out of order' })
  isBroken = false
  t.equal(await answers[3], 'fourth')
})

t.test('all but one job of a running batch count as waiting', async (t) => {
  const { queue } = queueWith({ maxBatch: 3, maxWaitMs: 10_000 })
  await teach(queue, 1000)
  const works = Array.from({ length: 11 }, work)
  const answers = works.map(({ run }) => queue.run(run))
  await t.rejects(queue.run(work().run), { code: 'overloaded' }, 'ten wait')
  clock.advanceMs(1000)
  works[0]?.resolve('done')
  await turn()
  const more = work()
  const next = queue.run(more.run)
  await t.rejects(queue.run(work().run), { code: 'overloaded' }, 'two of three, and eight')
  for (const { resolve } of [...works, more]) resolve('done')
  await Promise.all([...answers, next])
})

t.test('a job runs at once when a slot is free', async (t) => {
  const { queue } = queueWith({ maxBatch: 3, maxConcurrent: 2 })
  const endless = work()
  const held = queue.run(endless.run)
  t.equal(await queue.run(async () => 'at once'), 'at once')
  endless.resolve('done')
  t.equal(await held, 'done')
})
