import Fastify from 'fastify'
import type { Test } from 'tap'
import { errorCodes, isGatepassError } from '../../src/core/errors.ts'
import { algorithmNames } from '../../src/tokens/algorithms.ts'
import { gatepassAuth } from '../../src/verifier/fastify.ts'
import type { VerifierOptions } from '../../src/verifier/options.ts'
import { createVerifier } from '../../src/verifier/verifier.ts'
import { audience, issuer, makeKey, TestClock, type TestKey } from '../support/tokens.ts'

/** One key of each algorithm. */
export const keys: readonly TestKey[] = algorithmNames.map((alg) => makeKey(alg))

export function keyOf(alg: string): TestKey {
  const key = keys.find((key) => key.alg === alg)
  if (key === undefined) throw new Error(`there is no key of ${alg}`)
  return key
}

export const jwks = { keys: keys.map((key) => key.publicJwk) }

export const options: VerifierOptions = { issuer, audience, jwks, clock: new TestClock() }

/** Expects one answer, the code of an error or "accepted", from every way of checking a token. */
export type Expect = (token: string, answer: string, what?: string) => Promise<void>

/** Drives a token through `verify`, `verifySync` and the Fastify plugin. */
export async function openHarness(
  t: Test,
  changes: Partial<VerifierOptions> = {},
): Promise<Expect> {
  const verifier = createVerifier({ ...options, ...changes })
  const app = Fastify()
  await app.register(gatepassAuth, { verifier })
  app.get('/', (request) => request.auth)
  await app.ready()
  t.teardown(() => app.close())
  t.teardown(() => verifier.close())

  return async (token, answer, what = answer) => {
    const answers = {
      verify: await answerOf(() => verifier.verify(token)),
      verifySync: await answerOf(async () => verifier.verifySync(token)),
      plugin: await pluginAnswer(token),
    }
    t.same(answers, { verify: answer, verifySync: answer, plugin: answer }, what)
  }

  async function pluginAnswer(token: string): Promise<string> {
    const response = await app.inject({ url: '/', headers: { authorization: `Bearer ${token}` } })
    const { code } = response.json()
    if (response.statusCode === 200 && code === undefined) return 'accepted'
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
