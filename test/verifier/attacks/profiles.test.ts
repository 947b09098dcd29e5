import t from 'tap'
import type { JsonObject } from '../../../src/core/json.ts'
import { createVerifier, type IssuerOptions } from '../../../src/verifier/index.ts'
import { FakeClock } from '../../support/clock.ts'
import { audience, claimsWith, issuer, makeKey, mint, now_s } from '../../support/tokens.ts'
import { overEveryAdapter } from '../harness.ts'

/** Tokens as other products sign them, beside those of Gatepass. */

const clock = new FakeClock(now_s * 1000)
/** All products use the same key id, so that only the issuer tells the keys apart. */
const kid = 'key-1'
const keys = {
  gatepass: makeKey('ES256', kid),
  keycloak: makeKey('RS256', kid),
  auth0: makeKey('RS256', kid),
  cognito: makeKey('RS256', kid),
}
type Product = keyof typeof keys

const jwksOf = (...products: Product[]) => ({
  keys: products.map((product) => keys[product].publicJwk),
})
const times = { iat: now_s, exp: now_s + 300 }
const realm = 'https://sso.test/realms/main'
const tenant = 'https://tenant.auth0.test/'
const pool = 'https://cognito-idp.eu-west-1.test/pool-1'

const issuers: Record<Product, IssuerOptions> = {
  gatepass: { issuer, audience, jwks: jwksOf('gatepass') },
  keycloak: {
    issuer: realm,
    audience,
    jwks: jwksOf('keycloak'),
    profile: {
      tokenTypes: ['JWT'],
      requiredClaims: ['jti', 'azp'],
      claimValues: { typ: 'Bearer' },
    },
  },
  auth0: {
    issuer: tenant,
    audience,
    jwks: jwksOf('auth0'),
    profile: { tokenTypes: ['JWT'], requiredClaims: ['azp'] },
  },
  cognito: {
    issuer: pool,
    audience: null,
    jwks: jwksOf('cognito'),
    profile: {
      tokenTypes: [null],
      requiredClaims: ['jti'],
      claimValues: { token_use: 'access', client_id: ['shop', 'app'] },
    },
  },
}

/** The header and claims of an access token of each product. */
const tokens: Record<Product, { typ?: string; claims: JsonObject }> = {
  gatepass: { typ: 'at+jwt', claims: claimsWith() },
  keycloak: {
    typ: 'JWT',
    claims: {
      ...times,
      iss: realm,
      sub: 'user-1',
      aud: [audience, 'account'],
      jti: 'onrtac:1',
      azp: 'shop',
      typ: 'Bearer',
      acr: '1',
      scope: 'openid email',
      sid: 'session-1',
      realm_access: { roles: ['admin'] },
      'allowed-origins': ['https://shop.test'],
    },
  },
  auth0: {
    typ: 'JWT',
    claims: {
      ...times,
      iss: tenant,
      sub: 'auth0|1',
      aud: [audience, `${tenant}userinfo`],
      azp: 'shop',
      scope: 'openid',
    },
  },
  cognito: {
    claims: {
      ...times,
      iss: pool,
      sub: 'user-1',
      client_id: 'shop',
      token_use: 'access',
      version: 2,
      jti: 'id-1',
      origin_jti: 'id-0',
      auth_time: now_s,
      scope: 'openid',
      username: 'ada',
    },
  },
}
const products = Object.keys(tokens) as Product[]

/** The token of a product, with changes. A claim or `typ` that is undefined is left out. */
function tokenOf(
  product: Product,
  changes: Readonly<Record<string, unknown>> = {},
  header: Readonly<Record<string, unknown>> = {},
  key: Product = product,
): string {
  const { typ, claims } = tokens[product]
  const { alg } = keys[key]
  return mint(keys[key], {
    header: { alg, kid, ...(typ !== undefined && { typ }), ...header } as JsonObject,
    payload: { ...claims, ...changes } as JsonObject,
  })
}

const open = (...chosen: Product[]) =>
  createVerifier({ clock, issuers: chosen.map((product) => issuers[product]) })

t.test('one service accepts tokens of four products', async (t) => {
  const expect = await overEveryAdapter(t, open(...products))
  for (const product of products) await expect(tokenOf(product), 'accepted', product)
  const claims = await open('auth0').verify(tokenOf('auth0'))
  t.same(claims, tokens.auth0.claims, 'nothing is added to the claims')
})

t.test('without a profile, no token of another product is accepted', async (t) => {
  for (const product of ['keycloak', 'auth0', 'cognito'] as const) {
    const { profile: _, ...strict } = issuers[product]
    const expect = await overEveryAdapter(t, createVerifier({ clock, ...strict }))
    await expect(tokenOf(product), 'token_type', product)
    await expect(tokenOf(product, {}, { typ: 'at+jwt' }), 'token_claims', product)
  }
})

t.test('the profiles of other issuers do not weaken the rules for Gatepass', async (t) => {
  const reversed = products.toReversed()
  for (const order of [products, reversed]) {
    const expect = await overEveryAdapter(t, open(...order))
    for (const typ of ['JWT', undefined, 'application/jwt']) {
      await expect(tokenOf('gatepass', {}, { typ }), 'token_type', `typ ${typ}`)
      const idToken = { aud: audience, client_id: undefined, jti: undefined, at_hash: 'x' }
      await expect(tokenOf('gatepass', idToken, { typ }), 'token_type', `ID token ${typ}`)
    }
    await expect(tokenOf('gatepass', {}, { typ: 'logout+jwt' }), 'token_type')
    for (const claim of ['client_id', 'jti', 'aud', 'sub', 'exp', 'iat']) {
      await expect(tokenOf('gatepass', { [claim]: undefined }), 'token_claims', claim)
    }
  }
})

t.test('A8: no product signs for another one, whatever its profile', async (t) => {
  const expect = await overEveryAdapter(t, open(...products))
  for (const product of products) {
    for (const signer of products.filter((one) => one !== product)) {
      const token = tokenOf(product, {}, {}, signer)
      await expect(token, 'token_claims', `${signer} signs for ${product}`)
    }
  }
})

t.test(
  'A8: an issuer that publishes the key of another one gains and blocks nothing',
  async (t) => {
    const thief: IssuerOptions = { ...issuers.auth0, jwks: jwksOf('gatepass') }
    const strict: IssuerOptions = { ...issuers.gatepass, jwks: jwksOf('auth0', 'gatepass') }
    for (const order of [
      [thief, issuers.gatepass],
      [issuers.gatepass, thief],
    ]) {
      const expect = await overEveryAdapter(t, createVerifier({ clock, issuers: order }))
      await expect(tokenOf('gatepass'), 'accepted')
      await expect(tokenOf('gatepass', { jti: undefined }), 'token_claims')
      await expect(tokenOf('gatepass', {}, { typ: 'JWT' }), 'token_type')
    }
    const expect = await overEveryAdapter(
      t,
      createVerifier({ clock, issuers: [strict, issuers.auth0] }),
    )
    await expect(tokenOf('auth0'), 'accepted', 'the strict rules of another issuer do not count')
  },
)

t.test('A20: an ID token of the same issuer is no access token', async (t) => {
  const expect = await overEveryAdapter(t, open(...products))
  const keycloak = { typ: 'ID', aud: 'shop', nonce: 'n', at_hash: undefined }
  await expect(tokenOf('keycloak', keycloak), 'token_claims')
  await expect(tokenOf('keycloak', { ...keycloak, aud: audience }), 'token_claims', 'by its typ')
  await expect(tokenOf('auth0', { aud: 'shop' }), 'token_claims', 'by its audience')
  await expect(tokenOf('cognito', { token_use: 'id' }), 'token_claims')
  await expect(tokenOf('cognito', { client_id: 'another' }), 'token_claims')
  for (const product of ['keycloak', 'auth0', 'cognito'] as const) {
    await expect(tokenOf(product, { at_hash: 'x' }), 'token_type', `${product}, at_hash`)
    await expect(tokenOf(product, { c_hash: 'x' }), 'token_type', `${product}, c_hash`)
    await expect(tokenOf(product, { events: {} }), 'token_type', `${product}, logout token`)
  }
})

t.test('a profile leaves every other check as it is', async (t) => {
  const expect = await overEveryAdapter(t, open(...products))
  for (const product of ['keycloak', 'auth0', 'cognito'] as const) {
    await expect(tokenOf(product, { exp: now_s - 5 }), 'token_expired')
    await expect(tokenOf(product, { nbf: now_s + 60 }), 'token_not_yet_valid')
    for (const claim of ['sub', 'exp', 'iat', 'iss']) {
      await expect(tokenOf(product, { [claim]: undefined }), 'token_claims', claim)
    }
    await expect(tokenOf(product, { iss: `${tokens[product].claims.iss}x` }), 'token_claims')
    await expect(tokenOf(product, { cnf: { 'x5t#S256': 'x' } }), 'token_claims', 'bound by mTLS')
    const jkt = 'A'.repeat(43)
    await expect(tokenOf(product, { cnf: { jkt } }), 'dpop_proof_missing', 'bound by DPoP')
    await expect(tokenOf(product, { scope: ['a'] }), 'token_claims')
    await expect(tokenOf(product, {}, { crit: ['b64'], b64: false }), 'token_malformed')
    await expect(tokenOf(product, {}, { typ: 1 }), 'token_type')
    await expect(tokenOf(product, {}, { typ: null }), 'token_type')
  }
  for (const aud of [undefined, 'https://other.test', ['account'], []]) {
    await expect(tokenOf('keycloak', { aud }), 'token_claims', `aud ${aud}`)
    await expect(tokenOf('auth0', { aud }), 'token_claims', `aud ${aud}`)
  }
  await expect(tokenOf('keycloak', { azp: null }), 'token_claims')
  await expect(tokenOf('cognito', { token_use: ['access'] }), 'token_claims')
  const { verify } = open('cognito')
  await t.rejects(verify(tokenOf('cognito'), { audience }), { code: 'token_claims' })
})

t.test('an unsafe or misspelt profile prevents the start', async (t) => {
  const { profile } = issuers.keycloak
  const problemsOf = (changes: object, given: object = { ...profile, ...changes }) => {
    try {
      createVerifier({ ...issuers.cognito, profile: given as never, clock })
      return []
    } catch (error) {
      return (error as { problems: { pointer: string }[] }).problems.map(({ pointer }) => pointer)
    }
  }
  t.same(problemsOf({}), [])
  t.same(problemsOf({ claimValues: undefined }), ['/profile/claimValues'])
  t.same(problemsOf({ claimValues: undefined, tokenTypes: ['at+jwt'] }), [])
  for (const claimValues of [{}, null, [], { a: '' }, { a: [] }, { a: 1 }]) {
    t.same(problemsOf({ claimValues }), ['/profile/claimValues'])
  }
  for (const tokenTypes of [undefined, [], 'JWT', [undefined], [''], [1], ['a b']]) {
    t.same(problemsOf({ tokenTypes }), ['/profile/tokenTypes'])
    t.same(problemsOf({ tokenTypes, claimValues: undefined }), ['/profile/tokenTypes'])
  }
  for (const requiredClaims of [undefined, 'jti', [1], ['']]) {
    t.same(problemsOf({ requiredClaims }), ['/profile/requiredClaims'])
  }
  t.same(problemsOf({ claims: {} }), ['/profile/claims'])
  t.same(problemsOf({}, []), ['/profile'])
  t.throws(() => createVerifier({ ...issuers.auth0, tokenTypes: ['JWT'] }), {
    code: 'config_invalid',
  })
})
