import { createLocalJWKSet, decodeProtectedHeader, jwtVerify } from 'jose'
import t, { type Test } from 'tap'
import { bearer, startIssuer, type TestIssuer } from '../support/issuer.ts'
import { policy } from '../support/sessions.ts'

/** Revokes the key that signs, as `gatepass keys revoke` does. */
async function revokeSigningKey(issuer: TestIssuer): Promise<string> {
  const { kid } = issuer.keys.signingKey()
  await issuer.keys.revoke(kid)
  await issuer.sessions.appendRevocation('key', kid, issuer.clock.nowMs(), policy.revokedKeptMs)
  await issuer.revocations.refresh()
  return kid
}

/** The tokens of the first events that a new follower is told. */
async function firstEvents(t: Test, issuer: TestIssuer, count: number): Promise<string[]> {
  const { url } = await issuer.listen()
  const aborter = new AbortController()
  t.teardown(() => aborter.abort())
  const { body } = await fetch(`${url}/revocations/stream`, { signal: aborter.signal })
  let text = ''
  for await (const chunk of (body ?? new ReadableStream()).pipeThrough(new TextDecoderStream())) {
    text += chunk
    const tokens = [...text.matchAll(/^data: (.*)\n\n/gm)].map(([, token = '']) => token)
    if (tokens.length >= count) return tokens
  }
  throw new Error(`the stream ended:\n${text}`)
}

t.test('tokens of a revoked key are refused, and clients continue with the next key', async (t) => {
  const issuer = await startIssuer(t)
  const before = await issuer.signIn()
  const kid = await revokeSigningKey(issuer)
  const me = (token: string) => issuer.call({ url: '/me', headers: bearer(token) })

  const refused = await me(before.access_token)
  t.equal(refused.statusCode, 401)
  t.match(refused.json(), { code: 'token_key_unknown' })
  const jwks = await issuer.call({ url: '/.well-known/jwks.json' })
  t.notMatch(jwks.body, kid)

  const refreshed = (await issuer.refresh(before.refresh_token)).json()
  t.equal((await me(refreshed.access_token)).statusCode, 200, 'the session is alive')
  t.equal((await me((await issuer.signIn()).access_token)).statusCode, 200)
})

t.test('the snapshot names the revoked key and is signed by another key', async (t) => {
  const issuer = await startIssuer(t)
  // One that was signed by the key in this very second.
  await issuer.call({ url: '/revocations' })
  const kid = await revokeSigningKey(issuer)
  const { body } = await issuer.call({ url: '/revocations' })
  const jwks = createLocalJWKSet(JSON.parse(issuer.keys.jwks().body))
  const { payload } = await jwtVerify(body, jwks, {
    currentDate: new Date(issuer.clock.nowMs()),
  })
  t.match(payload, { keys: { [kid]: Math.floor(issuer.clock.nowMs() / 1000) } })
})

t.test('stream events of a revoked key are signed again for later followers', async (t) => {
  const issuer = await startIssuer(t)
  await issuer.sessions.revokeAll('user-1', issuer.clock.nowMs(), policy.revokedKeptMs)
  await issuer.revocations.refresh()
  const { kid } = issuer.keys.signingKey()
  const signers = async (count: number) =>
    (await firstEvents(t, issuer, count)).map((token) => decodeProtectedHeader(token).kid)
  t.same(await signers(1), [kid])

  await revokeSigningKey(issuer)
  const next = issuer.keys.signingKey().kid
  t.not(next, kid)
  t.same(await signers(2), [next, next])
})
