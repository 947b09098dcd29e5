import { constants, sign } from 'node:crypto'
import { makeProof, makeProofKey } from '../../support/dpop.ts'
import { encryptFor, makeEncryptionPair } from '../../support/encryption.ts'
import {
  audience,
  claimsWith,
  encode,
  headerWith,
  issuer,
  mint,
  now_s,
  type TestKey,
  withSignature,
} from '../../support/tokens.ts'
import { keyOf, keys } from '../harness.ts'
import type { CheckInput } from './programs/checks.ts'

/** A token with a wrong signature of the right length. */
const forge = (token: string) => withSignature(token, (signature) => signature.reverse())

function withShortSalt({ privateKey: key, ...named }: TestKey): string {
  const input = `${encode(headerWith({ privateKey: key, ...named }))}.${encode(claimsWith())}`
  const padding = constants.RSA_PKCS1_PSS_PADDING
  const signature = sign('sha256', Buffer.from(input), { key, padding, saltLength: 20 })
  return `${input}.${signature.toString('base64url')}`
}

/** The input of the checks on any runtime. */
export async function makeInput(): Promise<CheckInput> {
  const tokens = Object.fromEntries(keys.map((key) => [key.alg, mint(key)]))
  const pairs = [makeEncryptionPair('P-256'), makeEncryptionPair('X25519')]
  const proofKey = await makeProofKey()
  const uri = `${audience}/orders`
  const token = mint(keyOf('ES256'), { payload: claimsWith({ cnf: { jkt: proofKey.jkt } }) })
  return {
    issuer,
    audience,
    now_s,
    jwks: { keys: keys.map((key) => key.publicJwk) },
    tokens,
    forged: Object.fromEntries(Object.entries(tokens).map(([alg, one]) => [alg, forge(one)])),
    shortSalt: withShortSalt(keyOf('PS256')),
    wrongClaims: mint(keyOf('ES256'), { payload: claimsWith({ aud: 'https://other.test' }) }),
    foreign: mint(keyOf('ES256'), {
      header: headerWith(keyOf('ES256'), { typ: 'JWT' }),
      payload: claimsWith({ client_id: undefined, jti: undefined, azp: 'shop' }),
    }),
    decryptionKeys: pairs.map(({ privateJwk }) => privateJwk),
    encrypted: Object.fromEntries(
      pairs.map((pair) => [pair.crv, encryptFor(pair, mint(keyOf('ES256')))]),
    ),
    bound: { token, proof: await makeProof(proofKey, { htu: uri, iat: now_s, token }), uri },
  }
}

/** The expected answers. A runtime refuses and reports keys whose algorithm it does not have. */
export function expectedAnswers(without: readonly string[] = []) {
  const each = (answer: string) =>
    Object.fromEntries(
      keys.map(({ alg }) => [alg, without.includes(alg) ? 'token_key_unknown' : answer]),
    )
  return {
    refusedKeys: without.map((alg) => `key-${alg}`),
    waiting: each('accepted'),
    cached: each('accepted'),
    atOnce: each('accepted'),
    forged: each('token_signature'),
    forgedAtOnce: each('token_signature'),
    shortSalt: 'token_signature',
    encrypted: { 'P-256': 'accepted', X25519: 'accepted' },
    bound: ['accepted', 'dpop_proof_replayed'],
    foreign: ['token_type', 'accepted'],
    metadata: [
      `${audience}/orders`,
      keys.map(({ alg }) => alg).filter((alg) => !without.includes(alg)),
      null,
    ],
    guard: [
      'user-1',
      401,
      'application/problem+json',
      'Bearer error="invalid_token", error_description="token_signature", ' +
        `resource_metadata="${audience}/.well-known/oauth-protected-resource/orders"`,
      'token_signature',
      'token_claims',
    ],
  }
}
