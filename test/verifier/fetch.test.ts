import { Hono } from 'hono'
import t from 'tap'
import { tokenGuard } from '../../src/verifier/fetch.ts'
import { createVerifier } from '../../src/verifier/index.ts'
import { claimsWith, mint } from '../support/tokens.ts'
import { keyOf, options } from './harness.ts'

const verifier = createVerifier(options)
const headers = { authorization: `Bearer ${mint(keyOf('ES256'))}` }
const requestWith = (init: RequestInit = {}) => new Request('https://api.test/orders?a=1', init)

t.test('returns the claims of a request', async (t) => {
  const guard = tokenGuard(verifier, { scope: 'orders:read' })
  t.same(await guard(requestWith({ headers })), { claims: claimsWith(), refusal: null })
})

t.test('returns a response to a refused request', async (t) => {
  const { claims, refusal } = await tokenGuard(verifier)(requestWith())
  t.equal(claims, null)
  t.equal(refusal?.status, 401)
  t.equal(refusal?.headers.get('www-authenticate'), 'Bearer')
  t.equal(refusal?.headers.get('content-type'), 'application/problem+json')
  t.match(await refusal?.json(), { code: 'token_missing', status: 401 })
  const short = await tokenGuard(verifier, { scope: 'x' })(requestWith({ headers }))
  t.equal(short.refusal?.status, 403)
  t.match(short.refusal?.headers.get('www-authenticate'), 'scope="x"')
})

t.test('hides an internal failure from the client', async (t) => {
  const broken = { ...verifier, verify: () => Promise.reject(new Error('secret')) }
  const { refusal } = await tokenGuard(broken)(requestWith({ headers }))
  t.equal(refusal?.status, 500)
  t.notMatch(await refusal?.text(), 'secret')
})

t.test('works in Hono', async (t) => {
  const guard = tokenGuard(verifier)
  const app = new Hono<{ Variables: { sub: string } }>()
  app.use(async (context, next) => {
    const { claims, refusal } = await guard(context.req.raw)
    if (refusal !== null) return refusal
    context.set('sub', claims.sub)
    return next()
  })
  app.get('/orders', (context) => context.text(context.get('sub')))
  t.equal(await (await app.request('/orders', { headers })).text(), 'user-1')
  t.equal((await app.request('/orders')).status, 401)
})
