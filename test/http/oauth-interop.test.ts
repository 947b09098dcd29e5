import cookiePlugin from '@fastify/cookie'
import Fastify from 'fastify'
import * as oauth from 'oauth4webapi'
import t, { type Test } from 'tap'
import { audience, claimsOf, issuerUrl } from '../support/issuer.ts'
import {
  accessTokenUrn,
  clientKey,
  exchangeGrant,
  first,
  redirectUri,
  reports,
  second,
  startOAuth,
} from '../support/oauth.ts'
import { Visitor } from '../support/visitor.ts'

/** Client libraries that were not written here, used as their documentation says. */

/** Loads a library whose types are not part of this project. */
const load = (name: string) => import(name)

const causeOf = (error: unknown) => error

async function startListening(t: Test) {
  const issuer = await startOAuth(t)
  issuer.clock.run()
  const { url, fetch: fetchHere } = await issuer.listen()
  const visitor = new Visitor(issuer)
  /** Signs the user in at the authorization endpoint, and returns the code. */
  const issueCode = async (client_id: string, code_challenge: string): Promise<string> => {
    const page = await visitor.authorize({ client_id, code_challenge, scope: 'data:read' })
    const { answer } = page.answer === null ? await visitor.signIn(page) : page
    return answer?.code ?? ''
  }
  return { ...issuer, url, fetchHere, issueCode }
}

t.test('oauth4webapi', async (t) => {
  const { fetchHere, issueCode, signIn } = await startListening(t)
  const DPoP = oauth.DPoP({}, await oauth.generateKeyPair('ES256'))
  const options = {
    [oauth.customFetch]: (url: string, init: object) => fetchHere(url, init),
  }
  const name = new URL(issuerUrl)
  const as = await oauth.processDiscoveryResponse(
    name,
    await oauth.discoveryRequest(name, { ...options, algorithm: 'oauth2' }),
  )
  const billing = { client_id: 'billing' }
  const basic = oauth.ClientSecretBasic(first.secret)

  t.comment('client_credentials, by a secret and by a key, with and without DPoP')
  const parameters = { scope: 'data:read', resource: reports }
  const response = await oauth.clientCredentialsGrantRequest(
    as,
    billing,
    basic,
    parameters,
    options,
  )
  const service = await oauth.processClientCredentialsResponse(as, billing, response)
  t.match(claimsOf(service.access_token), { aud: reports, sub: 'billing' })
  const signing = { client_id: 'signing' }
  const key = { key: clientKey.privateKey as oauth.CryptoKey, kid: 'client-1' }
  const bound = await oauth.processClientCredentialsResponse(
    as,
    signing,
    await oauth.clientCredentialsGrantRequest(
      as,
      signing,
      oauth.PrivateKeyJwt(key),
      { scope: 'data:read' },
      { ...options, DPoP },
    ),
  )
  t.equal(bound.token_type, 'dpop')

  t.comment('refresh_token, for a public client')
  const web = { client_id: 'web' }
  const signedIn = await signIn()
  const refreshed = await oauth.processRefreshTokenResponse(
    as,
    web,
    await oauth.refreshTokenGrantRequest(as, web, oauth.None(), signedIn.refresh_token, options),
  )
  t.equal(claimsOf(refreshed.access_token).sid, signedIn.session_id)

  t.comment('token exchange, introspection and revocation')
  const exchanged = await oauth.processGenericTokenEndpointResponse(
    as,
    billing,
    await oauth.genericTokenEndpointRequest(
      as,
      billing,
      basic,
      exchangeGrant,
      {
        subject_token: signedIn.access_token,
        subject_token_type: accessTokenUrn,
        audience: reports,
      },
      options,
    ),
  )
  const introspect = async (token: string) =>
    oauth.processIntrospectionResponse(
      as,
      billing,
      await oauth.introspectionRequest(as, billing, basic, token, options),
    )
  t.match(await introspect(exchanged.access_token), {
    active: true,
    aud: reports,
    act: { sub: 'billing' },
  })
  const revocation = await oauth.revocationRequest(
    as,
    web,
    oauth.None(),
    refreshed.refresh_token ?? '',
    options,
  )
  await oauth.processRevocationResponse(revocation)
  t.same(await introspect(exchanged.access_token), { active: false })

  t.comment('authorization_code with PKCE, bound by DPoP; a second use ends the session')
  const spa = { client_id: 'spa' }
  const codeVerifier = oauth.generateRandomCodeVerifier()
  const code = await issueCode('spa', await oauth.calculatePKCECodeChallenge(codeVerifier))
  const state = oauth.generateRandomState()
  const callback = new URL(`${redirectUri}?${new URLSearchParams({ code, state, iss: issuerUrl })}`)
  const redeem = async () =>
    oauth.processAuthorizationCodeResponse(
      as,
      spa,
      await oauth.authorizationCodeGrantRequest(
        as,
        spa,
        oauth.None(),
        oauth.validateAuthResponse(as, spa, callback, state),
        redirectUri,
        codeVerifier,
        { ...options, DPoP },
      ),
    )
  const tokens = await redeem()
  t.equal(tokens.token_type, 'dpop')
  t.match(await introspect(tokens.access_token), { active: true, client_id: 'spa' })
  t.match(await redeem().catch(causeOf), { error: 'invalid_grant' })
  t.same(await introspect(tokens.access_token), { active: false })
})

t.test('openid-client 6', async (t) => {
  const client = await load('openid-client')
  const { fetchHere, issueCode, signIn } = await startListening(t)
  for (const algorithm of ['oauth2', 'oidc']) {
    const configure = (id: string, auth: unknown) =>
      client.discovery(new URL(issuerUrl), id, undefined, auth, {
        algorithm,
        [client.customFetch]: fetchHere,
      })
    const billing = await configure('billing', client.ClientSecretBasic(first.secret))
    const service = await client.clientCredentialsGrant(billing, { resource: reports })
    t.equal(claimsOf(service.access_token).aud, reports)

    const key = { key: clientKey.privateKey, kid: 'client-1' }
    const signing = await configure('signing', client.PrivateKeyJwt(key))
    const DPoP = client.getDPoPHandle(signing, await client.randomDPoPKeyPair())
    const bound = await client.clientCredentialsGrant(signing, { scope: 'data:read' }, { DPoP })
    t.equal(bound.token_type, 'dpop')

    const web = await configure('web', client.None())
    const signedIn = await signIn()
    const refreshed = await client.refreshTokenGrant(web, signedIn.refresh_token)
    t.equal(claimsOf(refreshed.access_token).sid, signedIn.session_id)
    const exchanged = await client.genericGrantRequest(billing, exchangeGrant, {
      subject_token: refreshed.access_token,
      subject_token_type: accessTokenUrn,
      audience: reports,
    })
    t.match(await client.tokenIntrospection(billing, exchanged.access_token), {
      active: true,
      act: { sub: 'billing' },
    })
    await client.tokenRevocation(web, refreshed.refresh_token)
    t.match(await client.tokenIntrospection(billing, exchanged.access_token), { active: false })
    const refusal = await client.refreshTokenGrant(web, refreshed.refresh_token).catch(causeOf)
    t.match(refusal, { error: 'invalid_grant' })

    const backend = await configure('backend', client.ClientSecretBasic(second.secret))
    const pkceCodeVerifier = client.randomPKCECodeVerifier()
    const challenge = await client.calculatePKCECodeChallenge(pkceCodeVerifier)
    const code = await issueCode('backend', challenge)
    const redeemed = await client.authorizationCodeGrant(
      backend,
      new URL(`${redirectUri}?${new URLSearchParams({ code, iss: issuerUrl })}`),
      { pkceCodeVerifier },
    )
    t.equal(claimsOf(redeemed.access_token).client_id, 'backend')
    t.ok(redeemed.refresh_token)
  }
})

t.test('simple-oauth2', async (t) => {
  const { ClientCredentials, AuthorizationCode } = await load('simple-oauth2')
  const { url, issueCode } = await startListening(t)
  const auth = { tokenHost: url, tokenPath: '/oauth/token', revokePath: '/oauth/revoke' }
  const credentials = { id: 'billing', secret: first.secret }
  const service = new ClientCredentials({ client: credentials, auth })
  const { token } = await service.getToken({ scope: 'data:read' })
  t.match(token, { token_type: 'Bearer', scope: 'data:read', expires_in: 300 })

  const posting = new ClientCredentials({
    client: { id: 'rotating', secret: first.secret },
    auth,
    options: { authorizationMethod: 'body' },
  })
  t.ok((await posting.getToken({ scope: 'data:read' })).token.access_token)

  const backend = new AuthorizationCode({
    client: { id: 'backend', secret: second.secret },
    auth,
  })
  const code_verifier = oauth.generateRandomCodeVerifier()
  const code = await issueCode('backend', await oauth.calculatePKCECodeChallenge(code_verifier))
  const tokens = await backend.getToken({ code, redirect_uri: redirectUri, code_verifier })
  const refreshed = await tokens.refresh()
  t.equal(refreshed.token.session_id, tokens.token.session_id)
  await refreshed.revoke('refresh_token')
  const refusal = await refreshed.refresh().catch(causeOf)
  t.match(refusal, { data: { payload: { error: 'invalid_grant' } } })
})

t.test('@fastify/oauth2', async (t) => {
  const { default: oauthPlugin } = await load('@fastify/oauth2')
  const issuer = await startListening(t)
  const { url } = issuer
  const app = Fastify()
  t.teardown(() => app.close())
  app.register(cookiePlugin)
  app.register(oauthPlugin, {
    name: 'gatepass',
    scope: ['data:read'],
    credentials: {
      client: { id: 'backend', secret: second.secret },
      auth: {
        authorizeHost: url,
        authorizePath: '/oauth/authorize',
        tokenHost: url,
        tokenPath: '/oauth/token',
        revokePath: '/oauth/revoke',
      },
    },
    startRedirectPath: '/login',
    callbackUri: redirectUri,
    pkce: 'S256',
  })
  // biome-ignore lint/suspicious/noExplicitAny: the plugin decorates the app by the name above
  const plugin = () => (app as any).gatepass
  app.get('/cb', async (request) => plugin().getAccessTokenFromAuthorizationCodeFlow(request))

  const start = await app.inject('/login')
  const asked = new URL(String(start.headers.location))
  t.match(Object.fromEntries(asked.searchParams), {
    client_id: 'backend',
    code_challenge_method: 'S256',
  })
  const visitor = new Visitor(issuer)
  const { headers } = await visitor.signIn(await visitor.get(asked.pathname + asked.search))
  const back = new URL(String(headers.location))
  const cookies = Object.fromEntries(start.cookies.map(({ name, value }) => [name, value]))
  const answer = await app.inject({ url: `/cb${back.search}`, cookies })
  t.equal(answer.statusCode, 200, answer.body)
  const token = answer.json()
  t.match(claimsOf(token.access_token), { client_id: 'backend', aud: audience })

  const refreshed = await plugin().getNewAccessTokenUsingRefreshToken(token)
  t.equal(refreshed.token.session_id, token.session_id)
  await plugin().revokeToken(refreshed.token, 'refresh_token')
  const refused = plugin().getNewAccessTokenUsingRefreshToken(refreshed.token)
  const { data } = await refused.catch((error: { data?: { payload?: unknown } }) => error)
  t.match(data?.payload, { error: 'invalid_grant' })
})
