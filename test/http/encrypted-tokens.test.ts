import t from 'tap'
import type { AudienceKeys } from '../../src/issuer/token-minter.ts'
import { importEncryptionKey } from '../../src/tokens/encryption-key.ts'
import { createVerifier } from '../../src/verifier/index.ts'
import { makeEncryptionPair } from '../support/encryption.ts'
import { audience, bearer, issuerUrl, startIssuer, webClient } from '../support/issuer.ts'

const pair = makeEncryptionPair()
const imported = importEncryptionKey(pair.publicJwk)
if (!imported.ok) throw new Error(imported.reason)
const encryptionKeys: AudienceKeys = new Map([[audience, imported.key]])
const plainClient = { ...webClient, client_id: 'account', audience: issuerUrl }
const clients = [webClient, plainClient] as const

t.test('tokens for an audience with a key are encrypted for it', async (t) => {
  const issuer = await startIssuer(t, { encryptionKeys, clients })
  const { access_token, refresh_token } = await issuer.signIn()
  const refreshed = (await issuer.refresh(refresh_token)).json().access_token
  const jwks = (await issuer.call({ url: '/.well-known/jwks.json' })).json()
  const common = { issuer: issuerUrl, audience, jwks, clock: issuer.clock }
  const holder = createVerifier({ ...common, decryptionKeys: [pair.privateJwk] })
  const other = createVerifier(common)
  for (const token of [access_token, refreshed]) {
    t.equal(token.split('.').length, 5)
    t.match(await holder.verify(token), { aud: audience, client_id: 'web' })
    await t.rejects(other.verify(token), { code: 'token_malformed' })
    t.notMatch(Buffer.from(token.split('.').join(''), 'base64url').toString('latin1'), 'client_id')
  }
  const plain = (await issuer.signIn({ client_id: 'account' })).access_token
  t.equal(plain.split('.').length, 3, 'that of another audience is not encrypted')
})

t.test('without its private key, a token is refused, but its session can end', async (t) => {
  const issuer = await startIssuer(t, { encryptionKeys, clients })
  const { access_token, refresh_token } = await issuer.signIn()
  const refused = await issuer.call({ url: '/me', headers: bearer(access_token) })
  t.equal(refused.statusCode, 401)
  t.equal(refused.json().code, 'token_malformed')
  const account = await issuer.signIn({ client_id: 'account' })
  const own = await issuer.call({ url: '/sessions', headers: bearer(account.access_token) })
  t.equal(own.json().sessions.length, 2, 'a client without a key sees all sessions')
  const out = await issuer.call({ method: 'POST', url: '/logout', body: { refresh_token } })
  t.equal(out.statusCode, 204)
  t.equal((await issuer.refresh(refresh_token)).json().code, 'refresh_token_revoked')
})

t.test('an issuer with the private key accepts signed and encrypted tokens', async (t) => {
  const decryptionKeys = [pair.privateJwk]
  const issuer = await startIssuer(t, { encryptionKeys, decryptionKeys, clients })
  for (const client_id of ['web', 'account']) {
    const { access_token } = await issuer.signIn({ client_id })
    const me = await issuer.call({ url: '/me', headers: bearer(access_token) })
    t.equal(me.json().username, 'ada', client_id)
    const out = await issuer.call({ method: 'POST', url: '/logout', headers: bearer(access_token) })
    t.equal(out.statusCode, 204)
    t.equal((await issuer.call({ url: '/me', headers: bearer(access_token) })).statusCode, 401)
  }
})

t.test('a token for several audiences, one with a key, is not issued', async (t) => {
  const both = { ...webClient, audience: ['https://other.example.com', audience] }
  const issuer = await startIssuer(t, { encryptionKeys, clients: [both] })
  const response = await issuer.login()
  t.equal(response.statusCode, 500)
  t.notOk(response.body.includes('access_token'))
  const account = await issuer.accounts.findByLoginName('ada')
  t.same(await issuer.sessions.listBySub(account?.sub ?? '', issuer.clock.nowMs()), [])
})
