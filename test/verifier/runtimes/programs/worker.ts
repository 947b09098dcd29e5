/** A worker of workerd that checks tokens. */
import { isGatepassError } from '../../../../src/core/errors.ts'
import { createVerifier, type Verifier } from '../../../../src/verifier/index.ts'
import { answerOf, type CheckInput, checkFixedKeys } from './checks.ts'

export interface WorkerInput extends CheckInput {
  readonly keyServer: string
  readonly fetchTimeoutMs: number
}

/** Put in by the bundler. */
declare const INPUT: WorkerInput

/** The code and the problems of the error with which a verifier does not start. */
function refusalOf(create: () => Verifier): unknown {
  try {
    create()
    return 'it has started'
  } catch (error) {
    return isGatepassError(error) ? { code: error.code, problems: error.problems } : String(error)
  }
}

function createWorker(input: WorkerInput) {
  const { keyServer: issuer, fetchTimeoutMs, now_s } = input
  let nowMs = now_s * 1000
  const clock = { nowMs: () => nowMs }
  const fetched = { issuer, audience: null, clock, clockToleranceSeconds: 300, fetchTimeoutMs }
  const verifier = createVerifier(fetched)
  const refusedOutside = refusalOf(() => createVerifier({ ...fetched, revocations: true }))

  const actions: Record<string, (headers: Headers) => unknown> = {
    '/fixed': () => checkFixedKeys(input),
    '/start': () => ({
      refusedOutside,
      refused: refusalOf(() => createVerifier({ ...fetched, revocations: true })),
      withOptions: refusalOf(() => createVerifier({ ...fetched, revocations: { stream: false } })),
      withFile: refusalOf(() => createVerifier({ ...fetched, jwksFile: '/tmp/jwks.json' })),
      withList: refusalOf(() =>
        createVerifier({ ...fetched, revocations: { isRevoked: () => false } }),
      ),
    }),
    '/advance': (headers) => {
      nowMs += 1000 * Number(headers.get('seconds'))
    },
    '/verify': (headers) => answerOf(() => verifier.verify(headers.get('token') ?? '')),
    '/verify-sync': (headers) => answerOf(() => verifier.verifySync(headers.get('token') ?? '')),
    '/status': () => verifier.status().keys,
  }
  return {
    async fetch({ url, headers }: Request): Promise<Response> {
      return Response.json({ answer: await actions[new URL(url).pathname]?.(headers) })
    },
  }
}

/** Made outside a request, as applications do it. */
export default typeof INPUT === 'undefined' ? null : createWorker(INPUT)
