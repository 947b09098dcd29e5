import fastify, { type FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { Trust } from '../tokens.ts'
import { importGatepass } from './packages.ts'
import { serve } from './serve.ts'

/**
 * A guarded route with a cart in the session data: GET reads it, POST adds a shirt.
 * `data <storeUrl> <secret> <trust>`
 */

const [store = '', secret = '', trustJson = '{}'] = process.argv.slice(2)
const trust = JSON.parse(trustJson) as Trust
const fields = { session: { cart: z.record(z.string(), z.int().positive()).default({}) } }
/** A busy machine stays within this deadline. */
const deadlineMs = 5_000

const { gatepassAuth } = await importGatepass('fastify')
const { dataOf, gatepassData } = await importGatepass('data')
const app = fastify()
await app.register(gatepassAuth, trust)
await app.register(gatepassData, { store, secrets: [secret], fields, deadlineMs })
const sessionOf = (request: FastifyRequest) => dataOf(request, fields).session
app.get('*', (request) => sessionOf(request).get('cart'))
app.post('*', (request) =>
  sessionOf(request).update('cart', ({ shirt = 0 }) => ({
    hat: 1,
    'shoes-42': 1,
    shirt: shirt + 1,
  })),
)
await serve(app)
