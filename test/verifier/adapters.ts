import Fastify, { type FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { errorCodes, isGatepassError } from '../../src/core/errors.ts'
import { gatepassAuth } from '../../src/verifier/fastify.ts'
import type { Verifier } from '../../src/verifier/verifier.ts'
import { openVerifierApp } from '../support/verifier-app.ts'

/** Presents a token in one way. The answer is the code of an error, or "accepted". */
export type Present = (token: string) => Promise<string>

export type Adapter = (t: Test, verifier: Verifier) => Promise<Present>

/** Every way of having a token checked. */
export const adapters: Readonly<Record<string, Adapter>> = {
  verify: async (_t, verifier) => (token) => answerOf(() => verifier.verify(token)),

  verifySync: async (_t, verifier) => (token) => answerOf(async () => verifier.verifySync(token)),

  plugin: async (t, verifier) => {
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(gatepassAuth, { verifier })
    app.get('/', (request) => request.auth)
    return presentTo(app, '/')
  },

  forwardAuth: async (t, verifier) => presentTo(openVerifierApp(t, verifier), '/verify'),
}

async function presentTo(app: FastifyInstance, url: string): Promise<Present> {
  await app.ready()
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
