import { isDeepStrictEqual } from 'node:util'
import { compactDecrypt, createLocalJWKSet, importJWK, jwtVerify } from 'jose'
import t from 'tap'
import { isGatepassError } from '../../src/core/errors.ts'
import { createVerifier, type VerifierOptions } from '../../src/verifier/index.ts'
import fc from '../support/properties.ts'
import { audience, issuer, now_s } from '../support/tokens.ts'
import { jwks, options } from './harness.ts'
import { encryptionPair, type Input, inputs } from './token-grammar.ts'

/** `npm run fuzz` sets FUZZ_RUNS; without it, the same few inputs are tried each time. */
const runs = Number(process.env.FUZZ_RUNS ?? 2000)
const seed = process.env.FUZZ_RUNS === undefined ? { seed: 1 } : {}

const keys = createLocalJWKSet(structuredClone(jwks) as Parameters<typeof createLocalJWKSet>[0])
const decryptionKey = await importJWK({ ...encryptionPair.privateJwk }, 'ECDH-ES')

/** The claims that jose finds in a token, or it throws. */
async function readByJose({ text, isEncrypted }: Input): Promise<unknown> {
  const token = isEncrypted ? (await compactDecrypt(text, decryptionKey)).plaintext : text
  const { payload } = await jwtVerify(token, keys, {
    issuer,
    audience,
    typ: 'at+jwt',
    clockTolerance: 5,
    currentDate: new Date(now_s * 1000),
  })
  return payload
}

/** Two verifiers alike: a token that one has in its cache is checked by the other. */
function openPair(changes: Partial<VerifierOptions> = {}) {
  const [first, second] = [
    createVerifier({ ...options, ...changes }),
    createVerifier({ ...options, ...changes }),
  ]
  return { first, second, close: () => Promise.all([first.close(), second.close()]) }
}

async function answerOf(check: () => unknown): Promise<{ code: string; claims?: unknown }> {
  try {
    return { code: 'accepted', claims: await check() }
  } catch (error) {
    return { code: isGatepassError(error) ? error.code : `thrown: ${String(error)}` }
  }
}

t.test('the verifier accepts valid tokens as jose does, and refuses all others', async (t) => {
  const plain = openPair()
  const encrypted = openPair({ decryptionKeys: [encryptionPair.privateJwk] })
  t.teardown(() => Promise.all([plain.close(), encrypted.close()]))
  const answers: Record<string, number> = {}
  const property = fc.asyncProperty(inputs(), async (input) => {
    const { first, second } = input.isEncrypted ? encrypted : plain
    const answer = await answerOf(() => first.verifySync(input.text))
    for (const again of [() => second.verify(input.text), () => first.verify(input.text)]) {
      const other = await answerOf(again)
      if (!isDeepStrictEqual(other, answer)) throw new Error(`${answer.code}, then ${other.code}`)
    }
    answers[answer.code] = (answers[answer.code] ?? 0) + 1
    if (input.isGood !== (answer.code === 'accepted')) throw new Error(`it is ${answer.code}`)
    if (!input.isGood && !answer.code.startsWith('token_')) throw new Error(answer.code)
    if (input.isGood && !isDeepStrictEqual(answer.claims, await readByJose(input))) {
      throw new Error('jose finds other claims')
    }
  })
  await fc.assert(property, { numRuns: runs, ...seed, endOnFailure: false })
  t.comment(answers)
  t.same(Object.keys(answers).sort(), [
    'accepted',
    'token_algorithm',
    'token_claims',
    'token_expired',
    'token_key_unknown',
    'token_malformed',
    'token_not_yet_valid',
    'token_signature',
    'token_type',
  ])
})
