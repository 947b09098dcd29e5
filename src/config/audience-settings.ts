import { z } from 'zod'
import { audiencesSchema, decryptionKeysSchema } from './audiences.ts'
import { asJson, asText, setting } from './setting.ts'

/** Encrypted tokens: for whom, and by which keys they are opened. */
export const audienceSettings = {
  audiences: setting(
    ['issuer'],
    audiencesSchema.default([]),
    asJson,
    'The audiences whose tokens are [encrypted](verifier.md#encrypted-tokens): `audience` and `encryption_key`, a public JWK.',
  ),
  decryption_keys: setting(
    ['issuer', 'verifier'],
    decryptionKeysSchema.default([]),
    asJson,
    'The private JWKs that open encrypted tokens: those of the audience of a verifier. An issuer needs them only for its own routes to take such tokens.',
    { secret: true },
  ),
  encrypted_tokens: setting(
    ['verifier'],
    z.enum(['required', 'optional']).optional(),
    asText,
    'Whether a token must be encrypted, where there are GATEPASS_DECRYPTION_KEYS. Without it `required`; `optional` is for the time of a change.',
  ),
}
