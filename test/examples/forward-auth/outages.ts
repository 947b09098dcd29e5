import type { RequestListener } from 'node:http'
import type { Test } from 'tap'
import { until } from '../../support/until.ts'
import { bearer, identityOf } from './answers.ts'
import { headersLike } from './client.ts'
import type { Kind } from './servers.ts'
import type { Behind } from './start.ts'

/** Something else at the address of a verifier. */
const answering =
  (status: number, headers: Record<string, string> = {}): RequestListener =>
  (_request, response) =>
    response.writeHead(status, { connection: 'close', ...headers }).end()

/** A request that waits for the proxy's default timeout takes this long. */
const proxyDefaultMs = 60_000

const cutOff: RequestListener = (request) => request.socket.destroy()

/** The way is closed whatever becomes of the verifiers, and open again when they are back. */
export async function testOutages(t: Test, behind: Behind): Promise<void> {
  const { application, verifiers, call } = behind
  const untilOpen = () =>
    until('the way is open', async () => (await call({ headers: bearer() })).status === 200)

  await t.test('one verifier is enough', async (t) => {
    for (const kinds of [
      ['good', 'nothing'],
      ['nothing', 'good'],
    ] as const) {
      await verifiers.serve(...kinds)
      // The other may have been given up just before.
      await untilOpen()
      application.requests.length = 0
      for (let n = 0; n < 8; n += 1) {
        t.equal((await call({ headers: bearer({ jti: `token-${n}` }) })).status, 200)
        const [seen] = application.requests.splice(0)
        t.same(headersLike(seen?.headers ?? [], 'x-auth'), identityOf('user-1'))
      }
    }
  })

  await t.test('without keys: 503 and Retry-After', async (t) => {
    await verifiers.serve('without keys', 'without keys')
    const answer = await call({ headers: bearer() })
    t.equal(answer.status, 503)
    t.match(answer.headers['retry-after'], /^\d+$/)
    t.same(headersLike(answer.rawHeaders, 'www-auth'), [])
    t.same(application.requests, [])
  })

  const odd: Readonly<Record<string, readonly (Kind | 'nothing')[]>> = {
    'without a verifier': [],
    'with silent ones': ['silent', 'silent'],
    'with ones that hang up': [cutOff, cutOff],
    'with a redirect': [answering(302, { location: '/' }), answering(302, { location: '/' })],
    'with a 500': [answering(500), answering(500)],
    'with a 404': [answering(404), answering(404)],
  }
  for (const [what, kinds] of Object.entries(odd)) {
    await t.test(`${what} the way is closed, and no request hangs`, async (t) => {
      await verifiers.serve(...kinds)
      const since = performance.now()
      const answers = await Promise.all([call({ headers: bearer() }), call({})])
      for (const answer of answers) {
        t.equal(answer.status, 503)
        t.match(answer.headers['retry-after'], /^\d+$/)
      }
      t.ok(performance.now() - since < proxyDefaultMs, 'before the default timeout of the proxy')
      t.same(application.requests, [])
      t.equal((await call({ path: '/public/' })).status, 200, 'the rest goes on')
      application.requests.length = 0
    })
  }

  await t.test('requests are forwarded when the verifiers are back', async (t) => {
    await verifiers.serve('good', 'good')
    await untilOpen()
    t.equal((await call({})).status, 401)
    application.requests.length = 0
  })
}
