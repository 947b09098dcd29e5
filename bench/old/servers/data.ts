import fastify, { type FastifyRequest } from 'fastify'
import { z } from 'zod'
import { systemClock } from '../../../src/core/clock.ts'
import { isGatepassError } from '../../../src/core/errors.ts'
import { randomId } from '../../../src/core/secrets.ts'
import { DataService } from '../../../src/data/data-service.ts'
import { dataOf, gatepassData } from '../../../src/data/fastify.ts'
import { FieldCipher } from '../../../src/data/field-cipher.ts'
import type { DataStore } from '../../../src/stores/data-store.ts'
import { openDataStore } from '../../../src/stores/open-stores.ts'
import { openLink } from '../../../src/stores/redis/open.ts'
import { gatepassAuth } from '../../../src/verifier/fastify.ts'
import { serve } from './ready.ts'

/**
 * The guarded server with one field of session data: each request reads it, or writes it. Beside that
 * the same server writing the same text by a plain SET, as it is or encrypted.
 */

const [
  what = '',
  storeUrl = '',
  secret = '',
  issuer = '',
  audience = '',
  jwks = '{}',
  text = '{}',
] = process.argv.slice(2)
const cart = JSON.parse(text)
const fields = { session: { cart: z.record(z.string(), z.int().positive()).default({}) } }
const lifetimes = { sessionMax_s: 90 * 86_400, accessTtl_s: 300, userTtl_s: 400 * 86_400 }
/** A busy machine is no outage. */
const deadlineMs = 5_000
/** What is set unless somebody sets another one. */
const defaultDeadlineMs = 250

const app = fastify()
await app.register(gatepassAuth, { issuer, audience, jwks: JSON.parse(jwks) })

async function reads(): Promise<(request: FastifyRequest) => Promise<unknown>> {
  await app.register(gatepassData, { store: storeUrl, secrets: [secret], fields, deadlineMs })
  return (request) => dataOf(request, fields).session.get('cart')
}

async function updates(): Promise<(request: FastifyRequest) => Promise<unknown>> {
  await app.register(gatepassData, { store: storeUrl, secrets: [secret], fields, deadlineMs })
  return (request) =>
    dataOf(request, fields).session.update('cart', ({ shirt = 0 }) => ({
      ...cart,
      shirt: shirt + 1,
    }))
}

/** As a client does that sends the ETag of its last answer. */
async function comparesAndSets(): Promise<(request: FastifyRequest) => Promise<unknown>> {
  const store = await openDataStore(storeUrl, '.', { deadlineMs, replicas: 0 })
  const data = new DataService({ ...lifetimes, store, secrets: [secret], clock: systemClock })
  const known = new Map<string, { version: string | undefined }>()
  return async (request) => {
    const claims = request.auth
    if (claims?.sid === undefined) throw new Error('there is no session')
    const own = data.fieldsOf('session', claims)
    const last = known.get(claims.sid) ?? { version: undefined }
    if (last.version === undefined) known.set(claims.sid, last)
    // One that is asked twice at once loses, as it should, and then knows nothing.
    const expected = last.version ?? (await own.get('cart'))?.version ?? null
    last.version = undefined
    last.version = await own.set('cart', cart, expected)
    return cart
  }
}

async function sets(): Promise<(request: FastifyRequest) => Promise<unknown>> {
  return setter(() => JSON.stringify(cart))
}

/** As a compare-and-set would write it, whatever was there before. */
async function setsEncrypted(): Promise<(request: FastifyRequest) => Promise<unknown>> {
  const cipher = new FieldCipher([secret])
  return setter((id) => {
    const place = { owner: { scope: 'session', id }, field: 'cart', version: randomId() } as const
    return cipher.encrypt(place, Buffer.from(JSON.stringify(cart)))
  })
}

async function setter(
  textOf: (sid: string) => string | Buffer,
): Promise<(request: FastifyRequest) => Promise<unknown>> {
  const link = await openLink(storeUrl, { deadlineMs })
  return async (request) => {
    const sid = request.auth?.sid ?? ''
    const key = `set:${sid}`
    const expiresAt = String(systemClock.nowMs() + lifetimes.sessionMax_s * 1000)
    const command = ['SET', key, textOf(sid), 'PXAT', expiresAt]
    await link.run((call) => call.command(key, command))
    return cart
  }
}

/** Of a store that may fall silent: so long an answer takes that says so is what is measured. */
async function readsWhileAway(
  store: string | DataStore,
): Promise<(request: FastifyRequest) => Promise<unknown>> {
  const options = { store, secrets: [secret], fields, deadlineMs: defaultDeadlineMs }
  await app.register(gatepassData, options)
  return async (request) => {
    try {
      return await dataOf(request, fields).session.get('cart')
    } catch (error) {
      if (!isGatepassError(error, 'store_unavailable')) throw error
      return { away: true }
    }
  }
}

const works = {
  read: reads,
  update: updates,
  'compare-and-set': comparesAndSets,
  set: sets,
  'set, encrypted': setsEncrypted,
  away: () => readsWhileAway(storeUrl),
  /** Each request waits for the deadline: a store that is open already has no breaker around it. */
  'away, unguarded': async () =>
    readsWhileAway(
      await openDataStore(storeUrl, '.', { deadlineMs: defaultDeadlineMs, replicas: 0 }),
    ),
}
const work = await works[what as keyof typeof works]()
app.get('*', (request) => work(request))
await serve(app)
