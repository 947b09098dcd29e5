import t, { type Test } from 'tap'
import { type Admission, LoginBackoff } from '../../src/issuer/login-throttle.ts'
import { SqliteCounterStore } from '../../src/stores/sqlite/counter-store.ts'
import { stopTime } from '../stores/counter-store-contract.ts'

const rules = { free: 3, freeWindowSeconds: 100, maxPauseSeconds: 8, memorySeconds: 1000 }

function start(t: Test) {
  const wait = stopTime(t)
  const store = new SqliteCounterStore(':memory:')
  t.teardown(() => store.close())
  const backoff = new LoginBackoff(store, 'test', rules)
  /** One attempt: let through, or the seconds it has to wait. */
  const attempt = async (key = 'a'): Promise<Admission | number> => {
    const { waitMs, level } = await backoff.read(key)
    if (waitMs > 0) return waitMs / 1000
    const taken = await backoff.admit(key, level)
    return typeof taken === 'number' ? taken / 1000 : taken
  }
  return { backoff, attempt, wait }
}

function isAdmitted(attempt: Admission | number): attempt is Admission {
  return typeof attempt !== 'number'
}

/** An attempt that must be let through. */
async function taken(attempt: Promise<Admission | number>): Promise<Admission> {
  const one = await attempt
  if (!isAdmitted(one)) throw new Error(`it has to wait ${one} s`)
  return one
}

t.test('after the free attempts pauses double up to the maximum', async (t) => {
  const { attempt, wait } = start(t)
  for (let free = 1; free <= 3; free += 1) t.match(await attempt(), { isLast: free === 3 })
  const pauses: number[] = []
  for (let round = 0; round < 6; round += 1) {
    t.match(await attempt(), { isLast: true })
    const pause = await attempt()
    t.equal(await attempt(), pause, 'asking again makes it no longer')
    pauses.push(Number(pause))
    wait(Number(pause))
  }
  t.strictSame(pauses, [1, 2, 4, 8, 8, 8])
})

t.test('keys are independent', async (t) => {
  const { attempt } = start(t)
  for (let round = 0; round < 4; round += 1) await attempt('a')
  t.equal(await attempt('a'), 1)
  t.ok(isAdmitted(await attempt('b')))
})

t.test('free attempts return with the next window, levels last longer', async (t) => {
  const { attempt, wait } = start(t)
  for (let round = 0; round < 3; round += 1) await attempt('free')
  for (let round = 0; round < 4; round += 1) await attempt('slow')
  wait(100)
  for (let round = 0; round < 3; round += 1) t.ok(isAdmitted(await attempt('free')))
  t.ok(isAdmitted(await attempt('slow')))
  t.equal(await attempt('slow'), 2)
  wait(900)
  for (let round = 0; round < 4; round += 1) t.ok(isAdmitted(await attempt('slow')))
  t.equal(await attempt('slow'), 1)
})

t.test('an attempt that is taken back does not count', async (t) => {
  const { attempt, wait } = start(t)
  for (let round = 0; round < 20; round += 1) await (await taken(attempt())).takeBack()
  for (let round = 0; round < 3; round += 1) await attempt()
  for (let round = 0; round < 20; round += 1) await (await taken(attempt())).takeBack()
  t.ok(isAdmitted(await attempt()))
  wait(1)
  t.ok(isAdmitted(await attempt()))
  t.equal(await attempt(), 2, 'the pause has not grown by what was given back')
})

t.test('a forgiven attempt clears the earlier failures', async (t) => {
  const { attempt, wait } = start(t)
  for (let round = 0; round < 4; round += 1) await attempt()
  wait(1)
  await (await taken(attempt())).forgive()
  for (let round = 0; round < 4; round += 1) t.ok(isAdmitted(await attempt()))
  t.equal(await attempt(), 1)
})

t.test('concurrent attempts are admitted no more often than sequential ones', async (t) => {
  const { attempt, wait } = start(t)
  const storm = async () => {
    const attempts = await Promise.all(Array.from({ length: 100 }, () => attempt()))
    return attempts.filter(isAdmitted).length
  }
  t.equal(await storm(), 4)
  t.equal(await storm(), 0)
  wait(1)
  t.equal(await storm(), 1)
})
