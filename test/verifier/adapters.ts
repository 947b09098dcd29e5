import Fastify, { type FastifyInstance } from 'fastify'
import { pino } from 'pino'
import type { Test } from 'tap'
import { errorCodes, isGatepassError } from '../../src/core/errors.ts'
import { Metrics } from '../../src/http/metrics.ts'
import { buildVerifierApp } from '../../src/http/verifier-app.ts'
import { gatepassAuth } from '../../src/verifier/fastify.ts'
import type { Verifier } from '../../src/verifier/verifier.ts'

/** Presents a token in one way. The answer is the code of an error, or "accepted". */
export type Present = (token: string) => Promise<string>

export type Adapter = (t: Test, verifier: Verifier) => Promise<Present>

/** Every way of having a token checked. */
export const adapters: Readonly<Record<string, Adapter>> = {
  verify: async (_t, verifier) => (token) => answerOf(() => verifier.verify(token)),

  verifySync: async (_t, verifier) => (token) => answerOf(async () => verifier.verifySync(token)),

  plugin: async (t, verifier) => {
    const app = Fastify()
    await app.register(gatepassAuth, { verifier })
    app.get('/', (request) => request.auth)
    return presentTo(t, app, '/')
  },

  forwardAuth: async (t, verifier) => {
    const logger = pino({ level: 'silent' })
    const app = buildVerifierApp({
      service: { logger, metrics: new Metrics(), version: '0' },
      verifier,
    })
    return presentTo(t, app, '/verify')
  },
}

async function presentTo(t: Test, app: FastifyInstance, url: string): Promise<Present> {
  await app.ready()
  t.teardown(() => app.close())
  return async (token) => {
    const response = await app.inject({ url, headers: { authorization: `Bearer ${token}` } })
    if (response.statusCode === 200) return 'accepted'
    const { code } = response.json()
    const { status } = errorCodes[code as keyof typeof errorCodes]
    return response.statusCode === status ? code : `${code} with status ${response.statusCode}`
  }
}

/** "accepted", or the code of the GatepassError that was thrown. Any other error goes on. */
export async function answerOf(check: () => Promise<unknown>): Promise<string> {
  try {
    await check()
    return 'accepted'
  } catch (error) {
    if (!isGatepassError(error)) throw error
    return error.code
  }
}
