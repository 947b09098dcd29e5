import t from 'tap'
import { UnknownKids } from '../../../src/verifier/keys/refresh-schedule.ts'
import fc from '../../support/properties.ts'
import { makeKey } from '../../support/tokens.ts'
import { respond, serve } from '../jwks-server.ts'
import { first, second, setUp } from './harness.ts'

const invented = makeKey('ES256', 'invented')

t.test('A29: the cooldown of a kid that is never published grows', async (t) => {
  const { answer, server, clock, keys } = await setUp(t, serve([first]))
  await keys.ready()
  const askedAt_s: number[] = []
  for (let now_s = 1; now_s < 235; now_s += 1) {
    clock.advance_s(1)
    const before = server.requests
    t.equal(await answer(invented), 'token_key_unknown')
    if (server.requests > before) askedAt_s.push(now_s)
    // Background refreshes do not count here.
    if (askedAt_s.length === 5) break
  }
  t.same(askedAt_s, [5, 10, 20, 40, 80])
})

t.test('A29: one fetch for many tokens of an unknown kid counts once', async (t) => {
  const { answer, server, clock, keys } = await setUp(t, serve([first]))
  await keys.ready()
  clock.advance_s(5)
  const answers = await Promise.all(Array.from({ length: 20 }, () => answer(second)))
  t.same([...new Set(answers)], ['token_key_unknown'])
  t.equal(server.requests, 2)
  server.answer = serve([first, second])
  clock.advance_s(5)
  t.equal(await answer(second), 'accepted')
  t.equal(server.requests, 3)
})

t.test('A29: the cooldown of one unknown kid does not delay other kids', async (t) => {
  const { answer, server, clock, keys } = await setUp(t, serve([first]))
  await keys.ready()
  for (let times = 0; times < 3; times += 1) {
    clock.advance_s(20)
    await answer(invented)
  }
  t.equal(server.requests, 4)
  server.answer = serve([first, second])
  clock.advance_s(5)
  t.equal(await answer(invented), 'token_key_unknown')
  t.equal(server.requests, 4)
  t.equal(await answer(second), 'accepted')
  t.equal(server.requests, 5)
})

t.test('A29: newer keys reset the cooldowns of unknown kids', async (t) => {
  const { answer, server, clock, keys } = await setUp(t, serve([first]))
  await keys.ready()
  for (let times = 0; times < 3; times += 1) {
    clock.advance_s(20)
    await answer(invented)
  }
  server.answer = serve([first, second])
  await keys.refreshNow()
  clock.advance_s(5)
  server.answer = serve([first, second, invented])
  t.equal(await answer(invented), 'accepted')
})

t.test(
  'A29: a flood during a rotation keeps the new key out for one cooldown at most',
  async (t) => {
    const { answer, server, clock, keys } = await setUp(t, serve([first]))
    await keys.ready()
    const flood = (round: number) =>
      Array.from({ length: 50 }, (_, at) => answer({ ...second, kid: `unknown-${round}-${at}` }))
    for (let second_s = 0; second_s < 30; second_s += 1) {
      clock.advance_s(1)
      await Promise.all(flood(second_s))
    }
    t.equal(server.requests, 7, 'one at the start, and one each 5 s')
    server.answer = serve([first, second])
    const answers: string[] = []
    for (let second_s = 30; second_s < 36; second_s += 1) {
      clock.advance_s(1)
      const [known] = await Promise.all([answer(first), ...flood(second_s)])
      t.equal(known, 'accepted')
      answers.push(await answer(second))
    }
    t.ok(answers.indexOf('accepted') < 5, answers.join())
    t.equal(server.requests, 8)
  },
)

t.test('A29: Retry-After applies to fetches for unknown kids', async (t) => {
  const { answer, server, clock, keys } = await setUp(t, serve([first]))
  await keys.ready()
  server.answer = respond(429, '', { 'retry-after': '20' })
  clock.advance_s(5)
  t.equal(await answer(second), 'token_key_unknown')
  clock.advance_s(19)
  t.equal(await answer(second), 'token_key_unknown')
  t.equal(server.requests, 2)
  server.answer = serve([first, second])
  clock.advance_s(1)
  t.equal(await answer(second), 'accepted')
})

t.test('A29: the number of tokens that wait for a fetch is limited', async (t) => {
  const { server, clock, keys } = await setUp(t, serve([first]))
  await keys.ready()
  clock.advance_s(5)
  const held = Promise.withResolvers<void>()
  server.answer = async (request, response) => {
    await held.promise
    serve([first])(request, response)
  }
  const requested = server.nextRequest()
  let over = 0
  const all = Array.from({ length: 10_500 }, async (_, at) => {
    await keys.refresh(`unknown-${at}`)
    over += 1
  })
  await requested
  t.equal(over, 500)
  held.resolve()
  await Promise.all(all)
  t.equal(server.requests, 2)
})

t.test('A29: the memory for unknown kids has a limit, and their cooldown, too', async (t) => {
  const kids = new UnknownKids()
  t.equal(kids.extraCooldownMs('a'), 0)
  for (let fetch = 0; fetch < 2000; fetch += 1) kids.record('a', fetch)
  t.equal(kids.extraCooldownMs('a'), 55_000)
  for (let at = 0; at < 499; at += 1) kids.record(`b${at}`, 1)
  t.equal(kids.extraCooldownMs('a'), 55_000)
  for (let at = 0; at < 1000; at += 1) kids.record(`c${at}`, 1)
  t.equal(kids.extraCooldownMs('a'), 0, 'pushed out')
  kids.record('c999', 1)
  t.equal(kids.extraCooldownMs('c999'), 0, 'the same fetch')
  kids.record('c999', 2)
  t.equal(kids.extraCooldownMs('c999'), 5000)
  kids.clear()
  t.equal(kids.extraCooldownMs('c999'), 0)
})

t.test('the cooldown of a kid is never longer than the time since its first fetch', async () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 100_000 })), (pausesMs) => {
      const kids = new UnknownKids()
      let sinceFirstMs = 0
      for (const [fetch, pauseMs] of pausesMs.entries()) {
        kids.record('a', fetch)
        const quietMs = 5000 + kids.extraCooldownMs('a')
        if (quietMs > Math.max(5000, sinceFirstMs + 5000) || quietMs > 60_000) return false
        sinceFirstMs += quietMs + pauseMs
      }
      return true
    }),
  )
})
