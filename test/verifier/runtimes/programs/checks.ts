import { isGatepassError } from '../../../../src/core/errors.ts'
import { resourceMetadata, tokenGuard } from '../../../../src/verifier/fetch.ts'
import { createVerifier, type VerifierOptions } from '../../../../src/verifier/index.ts'

/** The input of a program, as JSON from the test. */
export interface CheckInput {
  readonly issuer: string
  readonly audience: string
  /** The time of the tokens. */
  readonly now_s: number
  readonly jwks: { readonly keys: readonly object[] }
  /** A good token of each algorithm, by its name. */
  readonly tokens: Readonly<Record<string, string>>
  /** The same with another signature. */
  readonly forged: Readonly<Record<string, string>>
  /** A token that PS256 does not allow: its salt is shorter than the digest. */
  readonly shortSalt: string
  /** A token for another audience. */
  readonly wrongClaims: string
  /** A token of an issuer with a profile. */
  readonly foreign: string
  readonly decryptionKeys: readonly object[]
  /** A good token that is encrypted, by the curve. */
  readonly encrypted: Readonly<Record<string, string>>
  readonly bound: { readonly token: string; readonly proof: string; readonly uri: string }
}

/** "accepted", or the code of the error. */
export async function answerOf(check: () => unknown): Promise<string> {
  try {
    await check()
    return 'accepted'
  } catch (error) {
    return isGatepassError(error) ? error.code : String(error)
  }
}

const metadataPath = '/.well-known/oauth-protected-resource/orders'

type Answers = Record<string, string>

async function answers(
  tokens: Readonly<Record<string, string>>,
  check: (token: string) => unknown,
): Promise<Answers> {
  const all: Answers = {}
  for (const [name, token] of Object.entries(tokens)) all[name] = await answerOf(() => check(token))
  return all
}

/** All that a verifier with fixed keys does, on the runtime at hand. */
export async function checkFixedKeys(input: CheckInput) {
  const { issuer, audience, jwks, tokens, decryptionKeys, bound } = input
  const clock = { nowMs: () => input.now_s * 1000 }
  const options: VerifierOptions = { issuer, audience, jwks, clock }
  const verifier = createVerifier(options)
  await verifier.ready()
  const anew = createVerifier({ ...options, cache: false })
  const opening = createVerifier({ ...options, decryptionKeys, maxTokenBytes: 16_384 })
  const { token, proof, uri } = bound
  const present = () => verifier.verify(token, { dpop: { proof, method: 'GET', uri } })
  const profile = { tokenTypes: ['JWT'], requiredClaims: ['azp'] }
  const profiled = createVerifier({ ...options, profile })
  const metadata = resourceMetadata(verifier, uri)
  const described = metadata(new Request(`${audience}${metadataPath}`))
  const { resource, dpop_signing_alg_values_supported: proofAlgorithms } = JSON.parse(
    (await described?.text()) ?? '{}',
  )
  const guard = tokenGuard(verifier, { scope: 'orders:read', resource: uri })
  const request = (headers: Record<string, string>) => new Request(uri, { headers })
  const { refusal } = await guard(request({ authorization: `Bearer ${input.forged.ES256}` }))
  const wrong = await guard(request({ authorization: `Bearer ${input.wrongClaims}` }))
  const { claims } = await guard(request({ authorization: `Bearer ${tokens.ES256}` }))
  return {
    refusedKeys: verifier.status().keys.refused.map(({ kid }) => kid),
    waiting: await answers(tokens, (token) => verifier.verify(token)),
    cached: await answers(tokens, (token) => verifier.verify(token)),
    atOnce: await answers(tokens, (token) => anew.verifySync(token)),
    forged: await answers(input.forged, (token) => verifier.verify(token)),
    forgedAtOnce: await answers(input.forged, (token) => verifier.verifySync(token)),
    shortSalt: await answerOf(() => verifier.verify(input.shortSalt)),
    encrypted: await answers(input.encrypted, (token) => opening.verify(token)),
    bound: [await answerOf(present), await answerOf(present)],
    foreign: [
      await answerOf(() => verifier.verify(input.foreign)),
      await answerOf(() => profiled.verify(input.foreign)),
    ],
    metadata: [resource, proofAlgorithms, metadata(request({}))],
    guard: [
      claims?.sub,
      refusal?.status,
      refusal?.headers.get('content-type'),
      refusal?.headers.get('www-authenticate'),
      JSON.parse((await refusal?.text()) ?? '{}').code,
      JSON.parse((await wrong.refusal?.text()) ?? '{}').code,
    ],
  }
}
