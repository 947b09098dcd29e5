import { z } from 'zod'
import type { FieldProblem } from '../core/errors.ts'
import {
  type Imported,
  importDecryptionKey,
  importEncryptionKey,
} from '../tokens/encryption-key.ts'
import { environmentName } from './setting.ts'
import type { Settings } from './settings.ts'

const jwk = (read: (value: unknown) => Imported<unknown>) =>
  z.record(z.string(), z.unknown()).superRefine((value, context) => {
    const imported = read(value)
    if (!imported.ok) context.addIssue({ code: 'custom', message: `is no key: ${imported.reason}` })
  })

const audienceSchema = z.strictObject({
  /** The `aud` that it is known by. */
  audience: z.string().min(1).max(256),
  /** What its tokens are encrypted for: a public JWK with a `kid`. */
  encryption_key: jwk(importEncryptionKey),
})

export const audiencesSchema = z
  .array(audienceSchema)
  .max(1000)
  .superRefine((audiences, context) => {
    refuseTwice(audiences, 'audience', context)
  })

export const decryptionKeysSchema = z
  .array(jwk(importDecryptionKey))
  .max(16)
  .superRefine((keys, context) => {
    refuseTwice(keys, 'kid', context)
  })

function refuseTwice<Name extends string>(
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

/** What must hold between the audiences that have keys, the clients and the algorithm. */
export function audienceProblems(config: Settings): FieldProblem[] {
  const { audiences, clients, algorithm } = config
  if (audiences.length === 0) return []
  const problems: FieldProblem[] = []
  const encrypted = new Set(audiences.map(({ audience }) => audience))
  const used = new Set<string>()
  for (const [index, client] of clients.entries()) {
    const wanted = [client.audience ?? config.audience].flat()
    for (const audience of wanted) used.add(audience)
    if (wanted.length > 1 && wanted.some((audience) => encrypted.has(audience))) {
      const detail = 'has several, and one of them a key: an encrypted token has one reader'
      problems.push({ pointer: `${environmentName('clients')}/${index}/audience`, detail })
    }
  }
  for (const [index, { audience }] of audiences.entries()) {
    if (used.has(audience)) continue
    const detail = 'is the audience of no client: its tokens would not be encrypted'
    problems.push({ pointer: `${environmentName('audiences')}/${index}/audience`, detail })
  }
  if (algorithm === 'ML-DSA-44') {
    const detail =
      'must be another where GATEPASS_AUDIENCES has keys: its signature alone is too long'
    problems.push({ pointer: environmentName('algorithm'), detail })
  }
  return problems
}

/** The demand to encrypt makes no sense without a key to decrypt with. */
export function decryptionProblems(config: Settings): FieldProblem[] {
  if (config.encrypted_tokens === undefined || config.decryption_keys.length > 0) return []
  const detail = 'needs GATEPASS_DECRYPTION_KEYS'
  return [{ pointer: environmentName('encrypted_tokens'), detail }]
}
