import { exportJWK } from 'jose'
import * as oauth from 'oauth4webapi'
import t from 'tap'
import { createVerifier } from '../../src/verifier/index.ts'
import { makeProof, type ProofKey } from '../support/dpop.ts'
import { audience, issuerUrl, password, startIssuer, webClient } from '../support/issuer.ts'

/** A client library that was not written here makes the proofs, and checks the tokens. */
for (const alg of ['ES256', 'Ed25519', 'PS256'] as const) {
  t.test(`oauth4webapi uses tokens that are bound to a key for ${alg}`, async (t) => {
    const issuer = await startIssuer(t, { clients: [webClient] })
    issuer.clock.run()
    const { fetch: fetchHere } = await issuer.listen()
    const pair = await oauth.generateKeyPair(alg, { extractable: true })
    const DPoP = oauth.DPoP({}, pair)
    const requests: Request[] = []
    const options = {
      DPoP,
      [oauth.customFetch]: (url: string, init: object) => {
        const { method, headers, body } = init as RequestInit & { method: string }
        requests.push(new Request(url, { method, headers: new Headers(headers) }))
        return fetchHere(url, { method, headers: new Headers(headers), body: body ?? null })
      },
    }
    const found = await oauth.discoveryRequest(new URL(issuerUrl), {
      ...options,
      algorithm: 'oauth2',
    })
    const server = await oauth.processDiscoveryResponse(new URL(issuerUrl), found)
    t.ok(server.dpop_signing_alg_values_supported?.includes(alg))

    const key: Pick<ProofKey, 'alg' | 'privateKey' | 'publicJwk'> = {
      alg,
      privateKey: pair.privateKey,
      publicJwk: await exportJWK(pair.publicKey),
    }
    const dpop = await makeProof(key, { htm: 'POST', htu: `${issuerUrl}/login` })
    const login = await issuer.call({
      method: 'POST',
      url: '/login',
      headers: { dpop },
      body: { username: 'ada', password },
    })
    const { access_token, token_type } = login.json()
    t.equal(token_type, 'DPoP')

    const ask = (method: string, url: string) =>
      oauth.protectedResourceRequest(
        access_token,
        method,
        new URL(url),
        undefined,
        undefined,
        options,
      )
    for (let n = 0; n < 2; n += 1) t.equal((await ask('GET', `${issuerUrl}/me?n=${n}`)).status, 200)

    // The library and our verifier both accept the request that the library sends to another service.
    requests.length = 0
    await ask('GET', `${audience}/orders?page=2`).catch(() => {})
    const request = requests[0] as Request
    const claims = await oauth.validateJwtAccessToken(server, request.clone(), audience, {
      ...options,
      requireDPoP: true,
    })
    t.same(claims.cnf, { jkt: await DPoP.calculateThumbprint() })
    const verifier = createVerifier({ issuer: issuerUrl, audience, jwks: await keysOf() })
    const proof = request.headers.get('dpop') ?? undefined
    const presented = { dpop: { proof, method: 'GET', uri: request.url } }
    t.match(await verifier.verify(access_token, presented), { cnf: claims.cnf })
    await t.rejects(verifier.verify(access_token, presented), { code: 'dpop_proof_replayed' })

    async function keysOf() {
      return (await issuer.call({ url: '/.well-known/jwks.json' })).json()
    }
  })
}
