import express from 'express'
import * as oauth from 'oauth4webapi'
import * as openid from 'openid-client'
import t, { type Test } from 'tap'
import { startHttpServer } from '../support/http-server.ts'
import { claimsOf, issuerUrl, type TestIssuerOptions } from '../support/issuer.ts'
import { clientKey, clients, redirectUri, second, startOAuth } from '../support/oauth.ts'
import { Visitor } from '../support/visitor.ts'

/** Client libraries as they are, over HTTP, from discovery to sign-out. */

const goodbye = 'https://app.example.com/goodbye'
const code = {
  grants: ['authorization_code', 'refresh_token'] as const,
  redirect_uris: [redirectUri],
  post_logout_redirect_uris: [goodbye],
  scopes: { profile: ['name'], 'data:read': [] },
}
const all = [
  clients[0],
  { ...code, client_id: 'public' },
  { ...code, client_id: 'basic', auth_method: 'client_secret_basic', secret_hashes: [second.hash] },
  { ...code, client_id: 'post', auth_method: 'client_secret_post', secret_hashes: [second.hash] },
  { ...code, client_id: 'jwt', auth_method: 'private_key_jwt', jwks: { keys: [clientKey.jwk] } },
] as unknown as typeof clients

/** An issuer, and a `fetch` for which its public URL leads to the port of the test. */
async function start(t: Test, options: TestIssuerOptions = {}) {
  // Libraries compare the times of tokens with the clock of the machine.
  const issuer = await startOAuth(t, { clients: all, startMs: Date.now(), ...options })
  issuer.clock.run()
  const { fetch: fetchIssuer } = await issuer.listen()
  /** Signs a user in, and returns the address that the client gets. */
  const signIn = async (url: URL) => {
    const visitor = new Visitor(issuer)
    const page = await visitor.get(`${url.pathname}${url.search}`)
    const { headers } = await visitor.signIn(page)
    return { visitor, back: new URL(String(headers.location)) }
  }
  return { ...issuer, fetchIssuer, signIn }
}

const privateKey = { key: clientKey.privateKey, kid: 'client-1' } as unknown as openid.PrivateKey

for (const [clientId, authentication] of [
  ['public', openid.None()],
  ['basic', openid.ClientSecretBasic(second.secret)],
  ['post', openid.ClientSecretPost(second.secret)],
  ['jwt', openid.PrivateKeyJwt(privateKey)],
] as const) {
  t.test(`openid-client 6, ${clientId}: code flow, PAR, DPoP, refresh, sign-out`, async (t) => {
    // Every second client meets an issuer that asks for nonces.
    const asksForNonces = clientId === 'public' || clientId === 'jwt'
    const issuer = await start(t, asksForNonces ? { dpopNonces: true } : {})
    const { fetchIssuer } = issuer
    const config = await openid.discovery(new URL(issuerUrl), clientId, {}, authentication, {
      [openid.customFetch]: fetchIssuer as openid.CustomFetch,
    })
    const DPoP = openid.getDPoPHandle(config, await openid.randomDPoPKeyPair('ES256'))
    for (const isPushed of [false, true]) {
      const pkceCodeVerifier = openid.randomPKCECodeVerifier()
      const expected = { expectedState: openid.randomState(), expectedNonce: openid.randomNonce() }
      const parameters = {
        redirect_uri: redirectUri,
        scope: 'openid profile data:read',
        code_challenge: await openid.calculatePKCECodeChallenge(pkceCodeVerifier),
        code_challenge_method: 'S256',
        state: expected.expectedState,
        nonce: expected.expectedNonce,
      }
      const url = isPushed
        ? await openid.buildAuthorizationUrlWithPAR(config, parameters, { DPoP })
        : openid.buildAuthorizationUrl(config, parameters)
      const { back, visitor } = await issuer.signIn(url)
      const checks = { ...expected, pkceCodeVerifier, idTokenExpected: true }
      const tokens = await openid.authorizationCodeGrant(config, back, checks, {}, { DPoP })
      t.equal(tokens.token_type, 'dpop')
      const claims = tokens.claims()
      const [sub, sid] = [claims?.sub ?? '', claims?.sid]
      t.equal(sid, claimsOf(tokens.access_token).sid)
      const info = await openid.fetchUserInfo(config, tokens.access_token, sub, { DPoP })
      t.same(info, { sub, name: 'Ada' })
      const next = await openid.refreshTokenGrant(config, tokens.refresh_token ?? '', {}, { DPoP })
      t.equal(claimsOf(next.access_token).sid, sid)
      const out = openid.buildEndSessionUrl(config, {
        id_token_hint: tokens.id_token ?? '',
        post_logout_redirect_uri: goodbye,
        state: 'bye',
      })
      t.same((await visitor.get(`${out.pathname}${out.search}`)).answer, {
        url: goodbye,
        state: 'bye',
      })
      await t.rejects(
        openid.refreshTokenGrant(config, next.refresh_token ?? '', {}, { DPoP }),
        new Error('server responded with an error in the response body'),
      )
    }
  })
}

t.test('openid-client 6 gets the error code, and refuses another issuer', async (t) => {
  const issuer = await start(t)
  const { fetchIssuer } = issuer
  const config = await openid.discovery(new URL(issuerUrl), 'public', {}, openid.None(), {
    [openid.customFetch]: fetchIssuer as openid.CustomFetch,
  })
  const url = openid.buildAuthorizationUrl(config, {
    redirect_uri: redirectUri,
    prompt: 'none',
    code_challenge: await openid.calculatePKCECodeChallenge(openid.randomPKCECodeVerifier()),
    code_challenge_method: 'S256',
    state: 'x',
  })
  const { headers } = await new Visitor(issuer).get(`${url.pathname}${url.search}`)
  const back = new URL(String(headers.location))
  const refused = openid.authorizationCodeGrant(config, back, { expectedState: 'x' })
  t.equal(await refused.catch(({ error }) => error), 'login_required')
  back.searchParams.delete('error')
  back.searchParams.set('code', 'stolen')
  back.searchParams.set('iss', 'https://evil.example')
  const mixedUp = openid.authorizationCodeGrant(config, back, { expectedState: 'x' })
  t.match(await mixedUp.catch(({ cause }) => cause.message), /"iss"/)
})

t.test('oauth4webapi: code flow with PAR, DPoP and nonces', async (t) => {
  const issuer = await start(t, { dpopNonces: true })
  const options = { [oauth.customFetch]: issuer.fetchIssuer as typeof fetch as never }
  const address = new URL(issuerUrl)
  for (const algorithm of ['oidc', 'oauth2'] as const) {
    const found = await oauth.discoveryRequest(address, { algorithm, ...options })
    const server = await oauth.processDiscoveryResponse(address, found)
    const client: oauth.Client = { client_id: 'basic' }
    const authentication = oauth.ClientSecretBasic(second.secret)
    const DPoP = oauth.DPoP(client, await oauth.generateKeyPair('ES256'))
    const verifier = oauth.generateRandomCodeVerifier()
    const [state, nonce] = [oauth.generateRandomState(), oauth.generateRandomNonce()]
    const parameters = new URLSearchParams({
      response_type: 'code',
      redirect_uri: redirectUri,
      scope: 'openid',
      code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
      state,
      nonce,
    })
    const push = async () => {
      const response = await oauth.pushedAuthorizationRequest(
        ...([server, client, authentication, parameters] as const),
        { DPoP, ...options },
      )
      return oauth.processPushedAuthorizationResponse(server, client, response)
    }
    const asked = await push().catch((error) => error)
    t.ok(oauth.isDPoPNonceError(asked), 'the library has kept the nonce')
    const pushed = await push()
    const url = new URL(server.authorization_endpoint ?? '')
    url.searchParams.set('client_id', client.client_id)
    url.searchParams.set('request_uri', pushed.request_uri)
    const { back } = await issuer.signIn(url)
    const answer = oauth.validateAuthResponse(server, client, back, state)
    const redeemed = await oauth.authorizationCodeGrantRequest(
      ...([server, client, authentication, answer, redirectUri, verifier] as const),
      { DPoP, ...options },
    )
    const tokens = await oauth.processAuthorizationCodeResponse(server, client, redeemed, {
      expectedNonce: nonce,
      requireIdToken: true,
    })
    await oauth.validateApplicationLevelSignature(server, redeemed, options)
    const { sub = '' } = oauth.getValidatedIdTokenClaims(tokens) ?? {}
    const info = await oauth.userInfoRequest(server, client, tokens.access_token, {
      DPoP,
      ...options,
    })
    t.equal((await oauth.processUserInfoResponse(server, client, sub, info)).sub, sub)
  }
})

/** Loads a library that has no types here. */
const load = (name: string) => import(name)

t.test('Passport with the strategy of openid-client, with and without PAR', async (t) => {
  const issuer = await start(t)
  const { default: session } = await load('express-session')
  const { default: passport } = await load('passport')
  const { Strategy } = await load('openid-client/passport')
  const config = await openid.discovery(
    ...([new URL(issuerUrl), 'basic', {}, openid.ClientSecretBasic(second.secret)] as const),
    { [openid.customFetch]: issuer.fetchIssuer as openid.CustomFetch },
  )
  for (const usePAR of [false, true]) {
    const strategy = new Strategy(
      { config, name: 'gatepass', scope: 'openid profile', callbackURL: redirectUri, usePAR },
      (tokens: openid.TokenEndpointResponseHelpers, done: (error: null, user?: object) => void) =>
        done(null, tokens.claims()),
    )
    const authenticator = new passport.Passport()
    authenticator.use(strategy)
    const serialize = (user: object, done: (error: null, user: object) => void) => done(null, user)
    authenticator.serializeUser(serialize)
    authenticator.deserializeUser(serialize)
    const app = express()
    app.use(session({ secret: 'a test', resave: false, saveUninitialized: false }))
    app.use(authenticator.session())
    app.get('/login', authenticator.authenticate('gatepass'))
    app.get('/cb', authenticator.authenticate('gatepass', { successRedirect: '/' }))
    app.get('/', (request, response) => {
      response.json((request as { user?: object }).user ?? null)
    })
    const { url } = await startHttpServer(t, app)
    let cookie = ''
    const visit = async (path: string) => {
      const response = await fetch(url + path, { redirect: 'manual', headers: { cookie } })
      cookie = response.headers.getSetCookie()[0]?.split(';')[0] ?? cookie
      return { status: response.status, location: response.headers.get('location'), response }
    }
    const asked = new URL((await visit('/login')).location ?? '')
    t.equal(asked.searchParams.has('request_uri'), usePAR)
    const { back } = await issuer.signIn(asked)
    const stranger = await fetch(`${url}/cb${back.search}`, { redirect: 'manual' })
    t.equal(stranger.status, 401, 'the code is for the browser that asked')
    t.match(await visit(`/cb${back.search}`), { status: 302, location: '/' })
    const user = (await (await visit('/')).response.json()) as { name?: string; sub?: string }
    t.match(user, { iss: issuerUrl, aud: 'basic' })
    t.ok(user.sub)
    const again = await fetch(`${url}/cb${back.search}`, {
      redirect: 'manual',
      headers: { cookie },
    })
    t.equal(again.status, 401, 'the code is used up')
  }
})
