import t from 'tap'
import { Gate, type GateLimits } from '../../../src/issuer/passwords/gate.ts'

/** A work that ends when told to. */
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
type WorkGate = Gate<Work, unknown>

/** A gate for works, which notes how many it serves together. */
function gateAt(limits: Partial<GateLimits>) {
  const clock = { ms: 0, nowMs: () => clock.ms }
  const all = { maxConcurrent: 1, maxQueued: 100, maxWaitMs: 60_000, ...limits }
  const groups: number[] = []
  const gate: WorkGate = new Gate(all, clock, (works) => {
    groups.push(works.length)
    return Promise.allSettled(works.map((work) => work()))
  })
  return { gate, clock, groups }
}

/** Lets the gate see so many works of this duration that it takes it for the usual one. */
async function teach(gate: WorkGate, clock: { ms: number }, durationMs: number) {
  for (let round = 0; round < 100; round += 1) {
    await gate.run(async () => {
      clock.ms += durationMs
    })
  }
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

t.test('as many as allowed run, the next wait in order', async (t) => {
  const { gate } = gateAt({ maxConcurrent: 2, maxQueued: 2 })
  const works = [work(), work(), work(), work()]
  const answers = works.map(({ run }) => gate.run(run))
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

t.test('a place that comes free is not taken by one who comes later', async (t) => {
  const { gate } = gateAt({ maxConcurrent: 1, maxQueued: 2 })
  const [first, second, third] = [work(), work(), work()]
  const firstAnswer = gate.run(first.run)
  const secondAnswer = gate.run(second.run)
  await turn()
  first.resolve('first')
  await firstAnswer
  const thirdAnswer = gate.run(third.run)
  await turn()
  t.strictSame([second.isStarted(), third.isStarted()], [true, false])
  second.resolve('second')
  third.resolve('third')
  t.strictSame(await Promise.all([secondAnswer, thirdAnswer]), ['second', 'third'])
})

t.test('past the queue it refuses, with the time that the queue takes', async (t) => {
  const { gate, clock } = gateAt({ maxConcurrent: 2, maxQueued: 10 })
  await teach(gate, clock, 4000)
  const works = Array.from({ length: 12 }, work)
  const answers = works.map(({ run }) => gate.run(run))
  const refused = work()
  await t.rejects(gate.run(refused.run), { code: 'overloaded', status: 503, retryAfter_s: 20 })
  t.notOk(refused.isStarted())
  for (const one of works) one.resolve('done')
  await Promise.all(answers)
  t.equal(await gate.run(async () => 'open again'), 'open again')
})

t.test('the time told stays between 1 s and 60 s, though the clock jumps', async (t) => {
  const { gate, clock } = gateAt({ maxQueued: 1, maxWaitMs: 600_000 })
  const overloaded = async (retryAfter_s: number) => {
    const works = [work(), work()]
    const answers = works.map(({ run }) => gate.run(run))
    await t.rejects(gate.run(work().run), { code: 'overloaded', retryAfter_s })
    for (const one of works) one.resolve('done')
    await Promise.all(answers)
  }
  await overloaded(1)
  await gate.run(async () => {
    clock.ms -= 3_600_000
  })
  await overloaded(1)
  await gate.run(async () => {
    clock.ms += 3_600_000
  })
  await overloaded(60)
})

t.test('a work that fails gives its place back', async (t) => {
  const { gate } = gateAt({ maxConcurrent: 1, maxQueued: 1 })
  const failing = gate.run(() => Promise.reject(new Error('no memory')))
  const next = gate.run(async () => 'next')
  await t.rejects(failing, { message: 'no memory' })
  t.equal(await next, 'next')
})

t.test('who would wait longer than allowed is refused at once', async (t) => {
  const { gate, clock } = gateAt({ maxConcurrent: 2, maxWaitMs: 5000 })
  await teach(gate, clock, 4000)
  const works = Array.from({ length: 4 }, work)
  const answers = works.map(({ run }) => gate.run(run))
  const refused = work()
  await t.rejects(gate.run(refused.run), { code: 'overloaded', retryAfter_s: 4 })
  t.notOk(refused.isStarted())
  for (const one of works) one.resolve('done')
  t.strictSame(await Promise.all(answers), ['done', 'done', 'done', 'done'])
})

t.test('who has waited as long as allowed is refused, and the next has the place', async (t) => {
  const { gate } = gateAt({ maxWaitMs: 60 })
  const [first, late, next] = [work(), work(), work()]
  const firstAnswer = gate.run(first.run)
  await t.rejects(gate.run(late.run), { code: 'overloaded', status: 503, retryAfter_s: 1 })
  const nextAnswer = gate.run(next.run)
  first.resolve('first')
  next.resolve('next')
  t.strictSame(await Promise.all([firstAnswer, nextAnswer]), ['first', 'next'])
  t.strictSame([late.isStarted(), next.isStarted()], [false, true])
})

t.test('a clock that jumps does not close the gate for long', async (t) => {
  const { gate, clock } = gateAt({ maxWaitMs: 2000 })
  await gate.run(async () => {
    clock.ms += 3_600_000
  })
  for (let round = 0; round < 10; round += 1) await gate.run(async () => {})
  const first = work()
  const answers = [gate.run(first.run), gate.run(async () => 'second')]
  first.resolve('first')
  t.strictSame(await Promise.all(answers), ['first', 'second'])
})

/** Has so many come at once, all of whose works end in order, the second by an error. */
async function serve(gate: WorkGate, count: number): Promise<unknown[]> {
  const works = Array.from({ length: count }, work)
  const answers = works.map(({ run }) => gate.run(run))
  for (const [index, { resolve, reject }] of works.entries()) {
    if (index === 1) reject(new Error('it failed'))
    else resolve(`${index}`)
  }
  return (await Promise.allSettled(answers)).map((answer) =>
    answer.status === 'fulfilled' ? answer.value : answer.reason.message,
  )
}

t.test('while others wait, as many are served together as it is told', async (t) => {
  const { gate, groups } = gateAt({ togetherMax: 3 })
  t.strictSame(await serve(gate, 5), ['0', 'it failed', '2', '3', '4'])
  t.strictSame(groups.splice(0), [1, 2, 1, 1])
  await serve(gate, 12)
  t.strictSame(groups, [1, 3, 3, 3, 1, 1])
})

t.test('no more are served in one place than its part of half of those who wait', async (t) => {
  const alone = gateAt({ togetherMax: 100 })
  await serve(alone.gate, 10)
  t.strictSame(alone.groups, [1, 5, 2, 1, 1])
  const beside = gateAt({ togetherMax: 100, maxConcurrent: 2 })
  await serve(beside.gate, 10)
  t.strictSame(beside.groups, [1, 1, 2, 2, 1, 1, 1, 1])
})

t.test('those who are served together are answered together', async (t) => {
  const { gate } = gateAt({ togetherMax: 2 })
  const works = Array.from({ length: 4 }, work)
  const [first, second, third] = works
  const answered: number[] = []
  const answers = works.map(async ({ run }, index) => {
    await gate.run(run)
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

t.test('what serves a group may fail as a whole', async (t) => {
  const clock = { nowMs: () => 0 }
  const limits = { maxConcurrent: 1, maxQueued: 10, maxWaitMs: 60_000, togetherMax: 2 }
  let isBroken = false
  const gate = new Gate<string, string>(limits, clock, async (jobs) => {
    await turn()
    if (isBroken) throw new Error('out of order')
    return jobs.map((value) => ({ status: 'fulfilled', value }))
  })
  const answers = ['first', 'second', 'third', 'fourth'].map((job) => gate.run(job))
  t.equal(await answers[0], 'first')
  isBroken = true
  await t.rejects(Promise.all([answers[1]]), { message: 'out of order' })
  await t.rejects(Promise.all([answers[2]]), { message: 'out of order' })
  isBroken = false
  t.equal(await answers[3], 'fourth')
})

t.test('of a group that is served, all but the first count as if they waited', async (t) => {
  const { gate, clock } = gateAt({ togetherMax: 3, maxWaitMs: 10_000 })
  await teach(gate, clock, 1000)
  const works = Array.from({ length: 11 }, work)
  const answers = works.map(({ run }) => gate.run(run))
  await t.rejects(gate.run(work().run), { code: 'overloaded' }, 'ten wait')
  clock.ms += 1000
  works[0]?.resolve('done')
  await turn()
  const more = work()
  const next = gate.run(more.run)
  await t.rejects(gate.run(work().run), { code: 'overloaded' }, 'two of three, and eight')
  for (const { resolve } of [...works, more]) resolve('done')
  await Promise.all([...answers, next])
})

t.test('nobody is held back when nobody waits', async (t) => {
  const { gate } = gateAt({ togetherMax: 3, maxConcurrent: 2 })
  const endless = work()
  const held = gate.run(endless.run)
  t.equal(await gate.run(async () => 'at once'), 'at once')
  endless.resolve('done')
  t.equal(await held, 'done')
})
