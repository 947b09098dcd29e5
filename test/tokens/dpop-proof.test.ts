import t from 'tap'
import { GatepassError } from '../../src/core/errors.ts'
import { digestText } from '../../src/core/secrets.ts'
import { algorithmNames } from '../../src/tokens/algorithms.ts'
import { importProofKey, parseDpopProof } from '../../src/tokens/dpop-proof.ts'
import { makeProof, makeProofKey } from '../support/dpop.ts'
import fc from '../support/properties.ts'
import { encode, makeKey, mint, type TokenParts } from '../support/tokens.ts'

const key = makeKey('ES256')
const { kid: _kid, alg: _alg, use: _use, ...jwk } = key.publicJwk
const header = { typ: 'dpop+jwt', alg: 'ES256', jwk }
const payload = { htm: 'GET', htu: 'https://api.test/a', iat: 1_795_478_400, jti: 'one' }
const proof = (parts: TokenParts = {}) => mint(key, { header, payload, ...parts })

t.test('parses a proof and imports its key', async (t) => {
  const parsed = parseDpopProof(proof())
  const defaults = { nbf: 0, exp: Number.MAX_SAFE_INTEGER, ath: null, nonce: null }
  t.same(parsed.claims, { ...payload, ...defaults })
  t.match(importProofKey(parsed), { alg: 'ES256', kid: parsed.jkt, signatureBytes: 64 })
})

t.test('reads the nonce of a proof; one that is no text counts as missing', async (t) => {
  for (const [given, read] of [
    ['a-nonce', 'a-nonce'],
    [7, null],
  ] as const) {
    const text = proof({ payload: { ...payload, nonce: given } })
    t.equal(parseDpopProof(text).claims.nonce, read)
  }
})

for (const alg of algorithmNames) {
  t.test(`accepts a proof that jose made with ${alg}`, async (t) => {
    const key = await makeProofKey(alg)
    const text = await makeProof(key, { htu: 'https://api.test/', token: 'a.b.c' })
    const parsed = parseDpopProof(text)
    t.equal(parsed.jkt, key.jkt)
    t.equal(parsed.claims.ath, digestText('a.b.c'))
    t.equal(importProofKey(parsed).alg, alg)
  })
}

const { d, ...ecPrivate } = key.privateKey.export({ format: 'jwk' }) as Record<string, string>
const badHeaders = {
  'alg none': { ...header, alg: 'none' },
  'alg HS256': { ...header, alg: 'HS256', jwk: { kty: 'oct', k: 'c2VjcmV0' } },
  'no alg': { typ: 'dpop+jwt', jwk },
  'typ of an access token': { ...header, typ: 'at+jwt' },
  'no typ': { alg: 'ES256', jwk },
  'no jwk': { typ: 'dpop+jwt', alg: 'ES256' },
  'jwk as a text': { ...header, jwk: JSON.stringify(jwk) },
  'a symmetric jwk': { ...header, jwk: { kty: 'oct', k: 'c2VjcmV0' } },
  'a jwk of another type': { ...header, alg: 'RS256' },
  'a jwk without its point': { ...header, jwk: { kty: 'EC', crv: 'P-256' } },
  crit: { ...header, crit: ['exp'], exp: 1 },
}
for (const [name, header] of Object.entries(badHeaders)) {
  t.test(`refuses ${name}`, async (t) => {
    t.throws(() => parseDpopProof(proof({ header })), { code: 'dpop_proof_invalid' })
  })
}

const weak: Record<string, string> = makeKey('RS256').publicJwk
const badKeys = {
  'a private key': { ...header, jwk: { ...ecPrivate, d: d ?? '' } },
  'a private key of another type': { ...header, jwk: { ...jwk, p: 'AQ' } },
  'a secret': { ...header, jwk: { ...jwk, k: 'c2VjcmV0' } },
  'a key for another algorithm': { ...header, jwk: { ...jwk, alg: 'ES384' } },
  'a key for encryption': { ...header, jwk: { ...jwk, use: 'enc' } },
  'another curve': { ...header, jwk: { ...jwk, crv: 'secp256k1' } },
  'a point off its curve': { ...header, jwk: { ...jwk, y: jwk.x ?? '' } },
  'a padded coordinate': { ...header, jwk: { ...jwk, x: `${jwk.x}=` } },
  'RSA with e = 1': { ...header, alg: 'RS256', jwk: { ...weak, e: 'AQ' } },
  'RSA under 2048 bits': {
    ...header,
    alg: 'RS256',
    jwk: { ...weak, n: weak.n?.slice(0, 172) ?? '' },
  },
  'Ed25519 of small order': {
    ...header,
    alg: 'Ed25519',
    jwk: { kty: 'OKP', crv: 'Ed25519', x: Buffer.alloc(32).toString('base64url') },
  },
}
for (const [name, header] of Object.entries(badKeys)) {
  t.test(`refuses ${name}`, async (t) => {
    const parsed = parseDpopProof(proof({ header }))
    t.throws(() => importProofKey(parsed), { code: 'dpop_proof_invalid' })
  })
}

const long = 'x'.repeat(5000)
const badClaims = [
  ...['htm', 'htu', 'iat', 'jti'].map((name) => ({ ...payload, [name]: undefined })),
  ...['', 7, null, [], 'x'.repeat(257)].map((jti) => ({ ...payload, jti })),
  ...['', 7, long].map((htm) => ({ ...payload, htm })),
  ...['', 7, long].map((htu) => ({ ...payload, htu })),
  ...['1795478400', -1, null, 2 ** 53].map((iat) => ({ ...payload, iat })),
  ...['1795478400', -1, null, 2 ** 53].flatMap((time) => [
    { ...payload, nbf: time },
    { ...payload, exp: time },
  ]),
  ...[7, [], {}].map((ath) => ({ ...payload, ath })),
]
t.test('refuses missing, huge and invalid claims', async (t) => {
  for (const bad of badClaims) {
    const text = proof({ payload: JSON.stringify(bad) })
    t.throws(
      () => parseDpopProof(text),
      { code: 'dpop_proof_invalid' },
      JSON.stringify(bad).slice(0, 80),
    )
  }
  const jti = 'x'.repeat(256)
  t.equal(parseDpopProof(proof({ payload: { ...payload, jti } })).claims.jti, jti)
  // RFC 7519 §2: a NumericDate may have a fraction.
  t.equal(parseDpopProof(proof({ payload: { ...payload, iat: 1.75 } })).claims.iat, 1)
})

t.test('refuses ambiguous encodings', async (t) => {
  const twice = JSON.stringify(payload).replace('{', '{"htm":"POST",')
  const infinite = JSON.stringify(payload).replace('1795478400', '1e400')
  const good = proof()
  const [head, body, signature] = good.split('.')
  const texts = [
    proof({ payload: twice }),
    proof({ payload: infinite }),
    proof({ payload: 'null' }),
    proof({ payload: '[]' }),
    '',
    good.slice(0, good.lastIndexOf('.')),
    `${good}.`,
    `${good}=`,
    ` ${good}`,
    `${good}, ${good}`,
    `${head}\n.${body}.${signature}`,
    `${encode('{}')}.${body}.${signature}`,
    `${good}${'A'.repeat(8192)}`,
    '.'.repeat(5000),
  ]
  for (const text of texts) {
    t.throws(() => parseDpopProof(text), { code: 'dpop_proof_invalid' }, text.slice(0, 40))
  }
})

t.test('property: throws dpop_proof_invalid only', async () => {
  const part = fc.oneof(
    fc.base64String().map((text) => text.replaceAll(/[+/=]/g, '')),
    fc.json().map((text) => encode(text)),
    fc.constantFrom(...proof().split('.')),
  )
  const text = fc.oneof(
    fc.string(),
    fc.array(part, { maxLength: 4 }).map((parts) => parts.join('.')),
  )
  fc.assert(
    fc.property(text, (text) => {
      try {
        importProofKey(parseDpopProof(text))
      } catch (error) {
        return error instanceof GatepassError && error.code === 'dpop_proof_invalid'
      }
      return true
    }),
    { numRuns: 2000 },
  )
})

t.test('no error quotes a proof', async (t) => {
  const secret = 'a-text-that-must-not-be-quoted'
  for (const parts of [
    { payload: { ...payload, jti: secret, htm: '' } },
    { header: { ...header, alg: secret } },
    { header: { ...header, typ: secret } },
    { header: { ...header, jwk: { ...jwk, x: secret } } },
  ]) {
    try {
      importProofKey(parseDpopProof(proof(parts)))
      t.fail('it was accepted')
    } catch (error) {
      const { message, cause, stack } = error as GatepassError
      t.notMatch(`${message} ${cause} ${stack}`, secret)
    }
  }
})
