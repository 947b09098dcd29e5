import type { Test } from 'tap'
import { bearer, identityOf, tokenWith } from './answers.ts'
import { headersLike, type RawHeaders } from './client.ts'
import type { Behind } from './start.ts'

/** Forged identity headers, in every spelling that some application reads as ours. */
const forgedIdentity: RawHeaders = [
  ...['X-Auth-Subject', 'mallory', 'x-auth-session', 'mallory', 'X-AUTH-SCOPE', 'mallory'],
  ...['X-Auth-Client', 'mallory', 'x-Auth-subject', 'mallory', 'X-Auth-Subject', 'mallory2'],
  ...['X_Auth_Subject', 'mallory', 'X-Auth_Subject', 'mallory', 'x_auth-scope', 'mallory'],
  ...['X_AUTH_SESSION', 'mallory', 'X_Auth_Client', 'mallory', 'X.Auth.Subject', 'mallory'],
  ...['X-Auth-Subject-', 'm', 'X-Auth-Roles', 'mallory'],
  // Any character of a name but letters and digits (RFC 9110 §5.6.2).
  ...[...`!#$%&'*+.^_\`|~`].flatMap((it) => [`X${it}Auth${it}Scope`, 'mallory']),
]

/** Forged headers about the sender and the target of a request. */
const forgedTarget: RawHeaders = [
  ...['X-Forwarded-For', '10.66.66.66', 'x-forwarded-host', 'mallory.test'],
  ...['X-Forwarded-Proto', 'mallory', 'X-Forwarded-Method', 'MALLORY'],
  ...['X-Forwarded-Uri', '/public/mallory', 'X-Forwarded-User', 'mallory'],
  ...['X-Forwarded-Port', '66', 'X-Forwarded-Prefix', '/mallory', 'X-Forwarded-Server', 'mallory'],
  ...['X-Forwarded-Scheme', 'mallory', 'X-Forwarded-Ssl', 'mallory'],
  ...['X-Forwarded-Email', 'mallory', 'X-Forwarded-Groups', 'mallory'],
  ...['X-Forwarded-Preferred-Username', 'mallory'],
  ...['X-Original-URL', '/public/mallory', 'X-Original-URI', '/public/mallory'],
  ...['X-Original-Method', 'MALLORY', 'X-Original-Host', 'mallory.test'],
  ...['X-Rewrite-URL', '/public/mallory', 'X-Real-IP', '10.66.66.66'],
  ...['X_Forwarded_For', '10.66.66.66', 'X_Forwarded_Uri', '/public/mallory'],
  ...['X_Original_URL', '/public/mallory', 'Forwarded', 'for=10.66.66.66;host=mallory.test'],
]

export const forged = [...forgedIdentity, ...forgedTarget]
export const ofMallory = /mallory|10\.66\.66/i

/** A24: forged headers neither reach the application nor change the decision. */
export async function testForgedHeaders(t: Test, behind: Behind): Promise<void> {
  const { application, verifiers, call } = behind

  await t.test('A24: forged headers beside a token are removed', async (t) => {
    const paths = { '/orders/7': 'orders:read profile', '/reports/7': 'reports:read' }
    for (const [path, scope] of Object.entries(paths)) {
      for (const headers of [
        [...forged, ...bearer({ scope })],
        [...bearer({ scope }), ...forged],
      ]) {
        t.equal((await call({ path, headers })).status, 200)
        const [seen] = application.requests.splice(0)
        const identity = withoutNear(headersLike(seen?.headers ?? [], 'x-auth'))
        t.same(identity, identityOf('user-1', scope))
        const rest = withoutNear(headersLike(seen?.headers ?? [], ''))
        t.notMatch(JSON.stringify(rest), ofMallory)
      }
    }
  })

  await t.test('A24: forged headers for missing claims are removed', async (t) => {
    const headers = [...forged, ...bearer({ scope: undefined, sid: undefined })]
    t.equal((await call({ headers })).status, 200)
    const [seen] = application.requests.splice(0)
    const said = withoutNear(headersLike(seen?.headers ?? [], 'x-auth'))
    t.same(
      said.filter(([, value]) => value !== ''),
      identityOf('user-1').filter(([name = '']) => /client|subject/.test(name)),
    )
  })

  await t.test('A24: forged headers without a token are refused', async (t) => {
    for (const [path, status, headers] of [
      ['/orders/7', 401, forged],
      ['/orders/7', 401, [...forged, 'Authorization', `Bearer ${tokenWith()}x`]],
      ['/reports/7', 403, [...forged, 'X-Auth-Scope', 'reports:read', ...bearer()]],
      ['/reports/7?scope=', 403, bearer()],
      ['/reports/7?scope=profile', 403, [...forged, ...bearer()]],
    ] as const) {
      const answer = await call({ path, headers })
      t.equal(answer.status, status, path)
      t.notMatch(JSON.stringify(answer), ofMallory)
    }
    t.same(application.requests, [])
  })

  await t.test('A24: forged headers to a public path are removed', async (t) => {
    t.equal((await call({ path: '/public/', headers: forged })).status, 200)
    const [seen] = application.requests.splice(0)
    t.notMatch(JSON.stringify(withoutNear(headersLike(seen?.headers ?? [], ''))), ofMallory)
    t.same(withoutNear(headersLike(seen?.headers ?? [], 'x-auth')), [])
  })

  await t.test('A24: a verifier receives the true target of a request', async (t) => {
    verifiers.requests.length = 0
    await call({ path: '/orders/7?a=b', method: 'PUT', headers: [...forged, ...bearer()] })
    application.requests.length = 0
    const [seen, ...others] = verifiers.requests
    t.same(others, [])
    t.match(seen?.path, /^\/verify(\?scope=?)?$/)
    t.match(Object.fromEntries(headersLike(seen?.headers ?? [], 'x-forwarded')), {
      'x-forwarded-method': 'PUT',
      'x-forwarded-uri': '/orders/7?a=b',
      'x-forwarded-proto': 'http',
      'x-forwarded-host': `127.0.0.1:${behind.port}`,
    })
    t.same(headersLike(seen?.headers ?? [], 'x-original'), [])
  })
}

/** Headers that change how the proxy or the service handles other headers. */
export async function testMisledProxies(t: Test, { application, call }: Behind): Promise<void> {
  const reached = () => application.requests.splice(0)

  await t.test('A24: a client cannot remove our headers as hop-by-hop headers', async (t) => {
    const names = 'X-Auth-Subject, X-Auth-Session, X-Auth-Scope, X-Auth-Client, X-Forwarded-For'
    for (const connection of [`close, ${names}`, `${names}, close`, `upgrade, ${names}`]) {
      const headers = ['Connection', connection, ...bearer()]
      const { status } = await call({ headers })
      if (status !== 200) t.match(status, /^4/)
      else {
        const [seen] = reached()
        t.same(headersLike(seen?.headers ?? [], 'x-auth'), identityOf('user-1'))
        const handedOn = JSON.stringify(headersLike(seen?.headers ?? [], 'connection'))
        t.notMatch(handedOn, /x-auth/i, 'the next proxy keeps them too')
      }
      t.same(reached(), [])
    }
  })

  await t.test(
    'A24: long headers of a client leave room for our headers, or get a 4xx',
    async (t) => {
      const scope = Array.from({ length: 200 }, (_, n) => `orders:${1_000 + n}`).join(' ')
      for (let length = 3_500; length <= 6_500; length += 100) {
        const long = 'x'.repeat(length)
        const { status } = await call({ headers: [...bearer({ scope }), 'X-A', long, 'X-B', long] })
        if (status !== 200) t.match(status, /^4/)
        for (const seen of reached()) {
          t.same(headersLike(seen.headers, 'x-auth'), identityOf('user-1', scope))
        }
      }
    },
  )

  await t.test('A24: a client cannot upgrade to a protocol of further requests', async (t) => {
    for (const upgrade of [
      ...[['h2c'], ['foo'], ['h2c, websocket'], ['websocket, h2c'], ['websocket,foo']],
      ...[
        ['h2c', 'websocket'],
        ['websocket', 'h2c'],
        ['foo', 'websocket'],
        ['websocket', 'foo'],
      ],
    ]) {
      for (const connection of ['Upgrade', 'Upgrade, HTTP2-Settings', 'keep-alive, Upgrade']) {
        await call({ path: '/public/', headers: upgradeTo(upgrade, connection) })
        for (const seen of reached()) {
          const forwarded = headersLike(seen.headers, 'upgrade').map(([, value]) => value)
          t.ok(['', 'websocket'].includes(forwarded.join()), `${upgrade}: ${forwarded}`)
        }
      }
    }
  })

  await t.test('A24: two Authorization headers are refused or mean one user', async (t) => {
    const bad = ['Authorization', `Bearer ${tokenWith({ sub: 'mallory' })}x`]
    for (const headers of [
      [...bearer(), ...bad],
      [...bad, ...bearer()],
    ]) {
      const answer = await call({ headers })
      for (const seen of reached()) {
        t.same(headersLike(seen.headers, 'x-auth'), identityOf('user-1'))
      }
      t.ok([200, 400, 401].includes(answer.status ?? 0), `${answer.status}`)
    }
  })
}

/** Headers that ask for another protocol (RFC 9110 §7.8). */
export function upgradeTo(protocols: readonly string[], connection = 'Upgrade'): RawHeaders {
  return [
    ...['Connection', connection, ...protocols.flatMap((protocol) => ['Upgrade', protocol])],
    ...['HTTP2-Settings', 'AAMAAABkAARAAAAAAAIAAAAA'],
    ...['Sec-WebSocket-Key', 'dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Version', '13'],
  ]
}

/** Leaves out headers whose names only begin like ours. Some proxies cannot remove them. */
export function withoutNear(pairs: readonly (readonly [string, string])[]) {
  return pairs.filter(([name]) => name !== 'x-auth-roles' && name !== 'x-auth-subject-')
}
