import t from 'tap'
import { testAnswers, tokenWith } from './answers.ts'
import { testForgedHeaders } from './attacks.ts'
import { nginx } from './nginx.ts'
import { testOutages } from './outages.ts'
import { testProofs } from './proofs.ts'
import { startBehind } from './start.ts'

/** As the example says: with the lines taken in that keep answers. */
const caching = {
  ...nginx,
  changes: (folder: string) => ({
    ...nginx.changes?.(folder),
    '/dev/shm/': `${folder}/`,
    '#cache ': '',
  }),
}

t.test('through nginx with a cache of responses', async (t) => {
  const behind = await startBehind(t, caching)
  const { verifiers, application, call } = behind
  /** Calls, and counts how often a verifier was asked. */
  const ask = async (token: string, path = '/orders/7', scheme = 'Bearer') => {
    verifiers.requests.length = 0
    const answer = await call({ path, headers: ['Authorization', `${scheme} ${token}`] })
    return { status: answer.status, asked: verifiers.requests.length }
  }

  await t.test('answers', (t) => testAnswers(t, behind))
  await t.test('forged headers', (t) => testForgedHeaders(t, behind))
  await t.test('proofs', (t) => testProofs(t, behind))
  await t.test('outages', (t) => testOutages(t, behind))

  await t.test('one token causes one request to a verifier', async (t) => {
    const token = tokenWith()
    t.same(await ask(token), { status: 200, asked: 1 })
    for (let n = 0; n < 5; n += 1) t.same(await ask(token, `/${n}`), { status: 200, asked: 0 })
  })

  await t.test('another scope causes another request', async (t) => {
    const token = tokenWith()
    t.same(await ask(token), { status: 200, asked: 1 })
    t.same(await ask(token, '/reports/7'), { status: 403, asked: 1 })
    t.same(await ask(token, '/reports/7'), { status: 403, asked: 1 }, 'a refusal is not kept')
  })

  await t.test('no two tokens share an entry', async (t) => {
    const token = tokenWith({ sub: 'ada' })
    t.same(await ask(token), { status: 200, asked: 1 })
    const end = token.lastIndexOf('.') + 1
    const swapped = `${token.slice(0, end)}${token[end] === 'A' ? 'B' : 'A'}${token.slice(end + 1)}`
    for (const other of [swapped, token.slice(0, -1), `${token}x`, `${token.slice(0, end)}`, 'x']) {
      t.same(await ask(other), { status: 401, asked: 1 })
    }
    t.same(await ask(token, '/', 'DPoP'), { status: 401, asked: 1 }, 'nor two schemes')
    application.requests.length = 0
    t.same(await ask(tokenWith({ sub: 'grace' })), { status: 200, asked: 1 })
    t.same(await ask(token), { status: 200, asked: 0 })
    const subjects = application.requests.map(({ headers }) => {
      return headers[headers.indexOf('X-Auth-Subject') + 1]
    })
    t.same(subjects, ['grace', 'ada'])
  })

  await t.test('an expired token is accepted from the cache for 6 seconds at most', async (t) => {
    const token = tokenWith()
    t.same(await ask(token), { status: 200, asked: 1 })
    const cachedMs = performance.now()
    verifiers.clock.advance_s(3600)
    t.same(await ask(token), { status: 200, asked: 0 }, 'this is what it costs')
    let sentMs = performance.now()
    let acceptedMs = cachedMs
    let last = await ask(token)
    while (last.status === 200) {
      acceptedMs = sentMs
      sentMs = performance.now()
      last = await ask(token)
    }
    t.same(last, { status: 401, asked: 1 })
    // The time at which the last accepted request was sent does not depend on the load.
    t.ok(acceptedMs - cachedMs <= 6_000, `${acceptedMs - cachedMs} ms`)
  })
})
