import t from 'tap'
import { createAccessTokenParser } from '../../src/tokens/access-token.ts'
import { importVerificationKey, type VerificationKey } from '../../src/tokens/verification-key.ts'
import { verifySignature, verifySignatureSync } from '../../src/verifier/signature.ts'
import fc from '../support/properties.ts'
import { makeKey, mint, type TestKey, withSignature } from '../support/tokens.ts'
import { keys } from './harness.ts'

const parseAccessToken = createAccessTokenParser()

function imported({ publicJwk }: TestKey): VerificationKey {
  const result = importVerificationKey(publicJwk)
  if (!result.ok) throw new Error(result.reason)
  return result.key
}

for (const key of keys) {
  const own = imported(key)
  const token = mint(key)

  t.test(`${key.alg}: both ways accept what was signed`, async (t) => {
    t.ok(await verifySignature(parseAccessToken(token), own))
    t.ok(verifySignatureSync(parseAccessToken(token), own))
  })

  t.test(`${key.alg}: both ways refuse another key, of any algorithm`, async (t) => {
    for (const other of [makeKey(key.alg), ...keys.filter(({ alg }) => alg !== key.alg)]) {
      t.notOk(await verifySignature(parseAccessToken(token), imported(other)), other.alg)
      t.notOk(verifySignatureSync(parseAccessToken(token), imported(other)), other.alg)
    }
  })

  t.test(`${key.alg}: both ways agree on any bytes`, async () => {
    const { length } = parseAccessToken(token).signature
    const changed = fc
      .tuple(fc.nat(length - 1), fc.integer({ min: 1, max: 255 }))
      .map(([at, flip]) =>
        withSignature(token, (signature) => {
          signature.writeUInt8(signature.readUInt8(at) ^ flip, at)
          return signature
        }),
      )
    const replaced = fc
      .uint8Array({ minLength: length - 1, maxLength: length + 1 })
      .map((bytes) => withSignature(token, () => Buffer.from(bytes)))
    await fc.assert(
      fc.asyncProperty(fc.oneof(changed, replaced), async (text) => {
        const parsed = parseAccessToken(text)
        const [apart, atOnce] = [
          await verifySignature(parsed, own),
          verifySignatureSync(parsed, own),
        ]
        return apart === false && atOnce === false
      }),
      { numRuns: 200 },
    )
  })
}
