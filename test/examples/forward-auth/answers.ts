import type { Test } from 'tap'
import { claimsWith, mint } from '../../support/tokens.ts'
import { headersLike, type RawHeaders } from './client.ts'
import { signingKey } from './servers.ts'
import type { Behind } from './start.ts'

/** A token of user-1, with other claims where so said. */
export function tokenWith(claims: Readonly<Record<string, unknown>> = {}): string {
  return mint(signingKey, { payload: claimsWith(claims) })
}

export function bearer(claims: Readonly<Record<string, unknown>> = {}): RawHeaders {
  return ['Authorization', `Bearer ${tokenWith(claims)}`]
}

/** The headers that the application receives for a token of `tokenWith`, sorted by name. */
export function identityOf(subject: string, scope = 'orders:read profile') {
  return [
    ['x-auth-client', 'web'],
    ['x-auth-scope', scope],
    ['x-auth-session', 'session-1'],
    ['x-auth-subject', subject],
  ]
}

/** The responses of every proxy. */
export async function testAnswers(t: Test, { application, call }: Behind): Promise<void> {
  await t.test('a request with a token is forwarded with its identity', async (t) => {
    const headers = [...bearer(), 'X-Custom', 'kept', 'Content-Type', 'text/plain']
    const body = 'what the client has to say'
    const answer = await call({ method: 'POST', path: '/orders/7?full=a%20b', headers, body })
    t.match(answer, { status: 200, body: 'the application' })
    const [seen, ...others] = application.requests.splice(0)
    t.same(others, [])
    t.match(seen, { method: 'POST', path: '/orders/7?full=a%20b', body })
    t.same(headersLike(seen?.headers ?? [], 'x-auth'), identityOf('user-1'))
    t.same(headersLike(seen?.headers ?? [], 'x-custom'), [['x-custom', 'kept']])
  })

  await t.test(
    'a body that a verifier does not get is not taken for its next request',
    async (t) => {
      const headers = bearer()
      for (let n = 0; n < 4; n += 1) {
        t.equal((await call({ method: 'POST', headers, body: 'GET /' })).status, 200)
        t.equal((await call({ method: 'POST', body: 'x'.repeat(100) })).status, 401)
      }
      t.strictSame(
        application.requests.splice(0).map(({ body }) => body),
        Array(4).fill('GET /'),
      )
    },
  )

  await t.test('a value that a header cannot carry arrives encoded', async (t) => {
    const headers = bearer({ sub: 'Ada\r\nX-Auth-Scope: admin, Ü 100%' })
    t.equal((await call({ headers })).status, 200)
    const [seen] = application.requests.splice(0)
    const subject = 'Ada%0D%0AX-Auth-Scope: admin, %C3%9C 100%25'
    t.same(headersLike(seen?.headers ?? [], 'x-auth'), identityOf(subject))
  })

  await t.test('without a valid token: 401 and a challenge', async (t) => {
    for (const [headers, challenge] of [
      [[], 'Bearer'],
      [['Authorization', 'Basic YWRhOmFkYQ=='], 'Bearer'],
      [
        ['Authorization', `Bearer ${tokenWith()}x`],
        'Bearer error="invalid_token", error_description="token_malformed"',
      ],
      [bearer({ exp: 1 }), 'Bearer error="invalid_token", error_description="token_expired"'],
    ] as const) {
      const answer = await call({ method: 'DELETE', path: '/orders/7', headers })
      t.equal(answer.status, 401)
      t.same(headersLike(answer.rawHeaders, 'www-auth'), [['www-authenticate', challenge]])
      t.same(headersLike(answer.rawHeaders, 'x-auth'), [])
    }
    t.same(application.requests, [])
  })

  await t.test('without the required scope: 403 and a challenge', async (t) => {
    const answer = await call({ path: '/reports/7', headers: bearer() })
    t.equal(answer.status, 403)
    const challenge = 'Bearer error="insufficient_scope", scope="reports:read"'
    t.same(headersLike(answer.rawHeaders, 'www-auth'), [['www-authenticate', challenge]])
    t.same(application.requests, [])

    const headers = bearer({ scope: 'reports:read' })
    t.equal((await call({ path: '/reports/7', headers })).status, 200)
    const [seen] = application.requests.splice(0)
    t.same(headersLike(seen?.headers ?? [], 'x-auth'), identityOf('user-1', 'reports:read'))
  })

  await t.test('a public path needs no token', async (t) => {
    t.equal((await call({ path: '/public/prices' })).status, 200)
    const [seen] = application.requests.splice(0)
    t.equal(seen?.path, '/public/prices')
    t.same(headersLike(seen?.headers ?? [], 'x-auth'), [])
  })
}
