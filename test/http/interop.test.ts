import type { AddressInfo } from 'node:net'
import * as oauth from 'oauth4webapi'
import t from 'tap'
import { audience, issuerUrl, startIssuer, webClient } from '../support/issuer.ts'

/**
 * A foreign client library in a resource server. It reads the metadata (RFC 8414), fetches the keys
 * and checks the access token (RFC 9068).
 */
t.test('oauth4webapi discovers the issuer and validates its tokens', async (t) => {
  const issuer = await startIssuer(t, { clients: [webClient] })
  issuer.clock.run()
  await issuer.app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = issuer.app.server.address() as AddressInfo
  // The public name leads to the test's port, as a reverse proxy would have it.
  const options = {
    [oauth.customFetch]: (url: string, init: object) =>
      fetch(url.replace(issuerUrl, `http://127.0.0.1:${port}`), init as RequestInit),
  }

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
  await t.rejects(
    oauth.validateJwtAccessToken(
      server,
      request(`${access_token.slice(0, -4)}AAAA`),
      audience,
      options,
    ),
  )
})
