import Fastify, { type FastifyRequest } from 'fastify'
import type { Test } from 'tap'
import { z } from 'zod'
import { DataService } from '../../src/data/data-service.ts'
import {
  dataOf,
  type GatepassDataOptions,
  gatepassData,
  type RequestData,
} from '../../src/data/fastify.ts'
import type { DataStore } from '../../src/stores/data-store.ts'
import { gatepassAuth } from '../../src/verifier/fastify.ts'
import { createVerifier } from '../../src/verifier/verifier.ts'
import { FakeClock } from '../support/clock.ts'
import { dataSecret, lifetimes, newDataStore } from '../support/data.ts'
import { audience, issuer, makeKey, mint, now_s } from '../support/tokens.ts'

export const key = makeKey('ES256')
export const bearer = () => ({ authorization: `Bearer ${mint(key)}` })

export const fields = {
  session: {
    cart: z.array(z.string()).default([]),
    count: z.int(),
    since: z.codec(z.iso.datetime(), z.date(), {
      decode: (text) => new Date(text),
      encode: (date) => date.toISOString(),
    }),
  },
  user: { theme: z.enum(['light', 'dark']).catch('light'), name: z.string().max(5) },
}

export type Work = (data: RequestData<typeof fields>) => Promise<unknown>

/** An application whose one guarded route does what the test says, and what it answers. */
export async function start(t: Test, changes: Partial<GatepassDataOptions> = {}) {
  const clock = new FakeClock(now_s * 1000)
  const app = Fastify()
  const store = changes.store ?? newDataStore(t)
  const data = new DataService({
    ...lifetimes,
    store: store as DataStore,
    secrets: [dataSecret],
    clock,
  })
  const verifier = createVerifier({ issuer, audience, jwks: { keys: [key.publicJwk] }, clock })
  await app.register(gatepassAuth, { verifier })
  await app.register(gatepassData, { store, secrets: [dataSecret], fields, clock, ...changes })
  let work: Work = async () => null
  const handler = async (request: FastifyRequest) => ({
    answer: (await work(dataOf(request, fields))) ?? null,
  })
  app.get('/guarded', handler)
  app.get('/open', { config: { auth: false } }, handler)
  app.get('/other-fields', async (request) => dataOf(request, { session: fields.session }))
  t.teardown(() => app.close())
  await app.ready()
  const run = async (does: Work, { url = '/guarded', headers = bearer() as object } = {}) => {
    work = does
    return app.inject({ url, headers: { ...headers } })
  }
  return {
    app,
    clock,
    store,
    data,
    run,
    answer: async (does: Work) => (await run(does)).json().answer,
  }
}
