/** A program that uses the package as the README says. It must compile, and it is run. */

import {
  anyVersion,
  type DataObserver,
  type DataStore,
  type Expected,
  type GatepassDataOptions,
  gatepassData,
} from '@gatepass/session-data'
import {
  type AccessTokenClaims,
  createVerifier,
  type ErrorCode,
  isGatepassError,
  type VerifierOptions,
} from '@gatepass/verifier'
import { type ConnectMiddleware, requireToken } from '@gatepass/verifier/express'
import { gatepassAuth } from '@gatepass/verifier/fastify'
import { tokenGuard } from '@gatepass/verifier/fetch'
import Fastify from 'fastify'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { z } from 'zod'

const issuer = 'https://auth.example.com'
const audience = 'https://api.example.com'

const { publicKey, privateKey } = await generateKeyPair('ES256')
const jwk = { ...(await exportJWK(publicKey)), kid: 'key-1', alg: 'ES256', use: 'sig' }
const token = await new SignJWT({ client_id: 'web', scope: 'orders:read' })
  .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid: 'key-1' })
  .setIssuer(issuer)
  .setAudience(audience)
  .setSubject('ada')
  .setJti('token-1')
  .setIssuedAt()
  .setExpirationTime('5 minutes')
  .sign(privateKey)

const options: VerifierOptions = { issuer, audience, jwks: { keys: [jwk] } }
const verifier = createVerifier(options)
await verifier.ready()
const claims: AccessTokenClaims = await verifier.verify(token)

let refused: ErrorCode | undefined
try {
  verifier.verifySync(`${token.slice(0, -8)}AAAAAAAA`)
} catch (error) {
  if (isGatepassError(error)) refused = error.code
}

const fields = { user: { theme: z.enum(['light', 'dark']).default('light') } }

declare module '@gatepass/session-data' {
  interface DataTypes {
    fields: typeof fields
  }
}

/** Types that a store or an observer of an application needs. */
export const callsOf = ({ read, write, remove, touch }: DataStore) => [read, write, remove, touch]
export const isAny = (expected: Expected) => expected === anyVersion
export const measurementsOf = ({ operation }: DataObserver) => operation
/** Its declaration names the type of each option. */
export const copyOf = (options: GatepassDataOptions) => ({ ...options })

const app = Fastify()
await app.register(gatepassAuth, { verifier })
await app.register(gatepassData, { store: 'sqlite::memory:', secrets: ['s'.repeat(32)], fields })
app.get('/theme', async (request) => {
  const before: 'light' | 'dark' = await request.data.user.get('theme')
  const after = await request.data.user.update('theme', (theme) =>
    theme === 'light' ? 'dark' : 'light',
  )
  return { before, after }
})
app.get('/orders', (request) => ({ user: request.auth?.sub }))
app.post('/orders', { config: { auth: { scope: 'orders:write' } } }, () => ({}))
app.get('/prices', { config: { auth: false } }, (request) => ({ user: request.auth }))

const headers = { authorization: `Bearer ${token}` }
const orders = await app.inject({ url: '/orders', headers })
const order = await app.inject({ method: 'POST', url: '/orders', headers })
const prices = await app.inject('/prices')
const theme = (await app.inject({ url: '/theme', headers })).json()
const guest = await app.inject('/orders')
const middleware: ConnectMiddleware = requireToken(verifier, { scope: 'orders:read' })
const fetched = await tokenGuard(verifier)(new Request(`${audience}/orders`, { headers }))
await app.close()
await verifier.close()

const statuses = [orders, order, prices, guest].map(({ statusCode }) => statusCode)
const others = [typeof middleware, fetched.claims?.sub]
console.log(
  JSON.stringify({ sub: claims.sub, refused, statuses, orders: orders.json(), others, theme }),
)
