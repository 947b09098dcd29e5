import * as oauth from 'oauth4webapi'
import t from 'tap'
import { audience, issuerUrl, startIssuer, webClient } from '../support/issuer.ts'
import { withSignature } from '../support/tokens.ts'

/**
 * A foreign client library in a resource server. It reads the metadata (RFC 8414), fetches the keys
 * and checks the access token (RFC 9068).
 */
t.test('oauth4webapi discovers the issuer and validates its tokens', async (t) => {
  const issuer = await startIssuer(t, { clients: [webClient] })
  issuer.clock.run()
  const { fetch: fetchHere } = await issuer.listen()
  const options = { [oauth.customFetch]: (url: string, init: object) => fetchHere(url, init) }

  const name = new URL(issuerUrl)
  const response = await oauth.discoveryRequest(name, { ...options, algorithm: 'oauth2' })
  const server = await oauth.processDiscoveryResponse(name, response)
  t.equal(server.jwks_uri, `${issuerUrl}/.well-known/jwks.json`)

  const { access_token, session_id } = await issuer.signIn()
  const request = (token: string) =>
    new Request(`${audience}/orders`, { headers: { authorization: `Bearer ${token}` } })
  const claims = await oauth.validateJwtAccessToken(
    server,
    request(access_token),
    audience,
    options,
  )
  t.match(claims, { client_id: 'web', scope: 'data:read', sid: session_id })
  await t.rejects(
    oauth.validateJwtAccessToken(server, request(access_token), 'https://other.example', options),
  )
  const forged = withSignature(access_token, (signature) => signature.reverse())
  await t.rejects(oauth.validateJwtAccessToken(server, request(forged), audience, options))
})
