import * as z from 'zod'
import {
  type ImportResult,
  importDecryptionKey,
  importEncryptionKey,
} from '../tokens/encryption-key.ts'

const jwk = (importKey: (value: unknown) => ImportResult<unknown>) =>
  z.record(z.string(), z.unknown()).superRefine((value, context) => {
    const imported = importKey(value)
    if (!imported.ok) {
      context.addIssue({ code: 'custom', message: `is not a key: ${imported.reason}` })
    }
  })

/** An audience whose tokens are encrypted. */
const audienceSchema = z.strictObject({
  /** The `aud` of the tokens. */
  audience: z.string().min(1).max(256),
  /** The public JWK that the tokens are encrypted for, with a `kid`. */
  encryption_key: jwk(importEncryptionKey),
})

export const audiencesSchema = z
  .array(audienceSchema)
  .max(1000)
  .superRefine((audiences, context) => {
    refuseDuplicates(audiences, 'audience', context)
  })

export const decryptionKeysSchema = z
  .array(jwk(importDecryptionKey))
  .max(16)
  .superRefine((keys, context) => {
    refuseDuplicates(keys, 'kid', context)
  })

function refuseDuplicates<Name extends string>(
  items: readonly { readonly [name in Name]?: unknown }[],
  name: Name,
  context: z.RefinementCtx,
): void {
  const seen = new Set<unknown>()
  for (const [index, item] of items.entries()) {
    if (seen.has(item[name])) {
      context.addIssue({ code: 'custom', path: [index, name], message: 'is used twice' })
    }
    seen.add(item[name])
  }
}
