import type { Test } from 'tap'
import { makeProof, makeProofKey, type ProofParts } from '../../support/dpop.ts'
import { now_s } from '../../support/tokens.ts'
import { identityOf, tokenWith } from './answers.ts'
import { headersLike, type RawHeaders } from './client.ts'
import type { Behind } from './start.ts'

/** DPoP: the verifier must receive the method and URL of the client's real request. */
export async function testProofs(t: Test, { application, port, call }: Behind): Promise<void> {
  const key = await makeProofKey()
  const token = tokenWith({ cnf: { jkt: key.jkt } })
  const origin = `http://127.0.0.1:${port}`
  const path = '/orders/7?full'

  async function headersWith(parts: ProofParts = {}): Promise<RawHeaders> {
    const htu = `${origin}/orders/7`
    const proof = await makeProof(key, { htm: 'POST', htu, iat: now_s, token, ...parts })
    return ['Authorization', `DPoP ${token}`, 'DPoP', proof]
  }

  const post = (headers: RawHeaders) => call({ method: 'POST', path, headers })

  await t.test('a proof is accepted once, for its request', async (t) => {
    const headers = await headersWith()
    t.equal((await post(headers)).status, 200)
    const [seen] = application.requests.splice(0)
    t.same(headersLike(seen?.headers ?? [], 'x-auth'), identityOf('user-1'))
    const again = await post(headers)
    t.equal(again.status, 401)
    t.match(again.headers['www-authenticate'], /^DPoP error="invalid_dpop_proof"/)
  })

  await t.test('each request with a proof is checked by itself', async (t) => {
    for (let n = 0; n < 5; n += 1) t.equal((await post(await headersWith())).status, 200)
    application.requests.length = 0
  })

  await t.test(
    'A24: no header of the client changes the request that a proof is checked for',
    async (t) => {
      const proof = await headersWith({ htm: 'GET', htu: 'https://other.test/orders/8' })
      const target = [
        ...['X-Forwarded-Method', 'GET', 'X-Forwarded-Uri', '/orders/8'],
        ...['X-Forwarded-Proto', 'https', 'X-Forwarded-Host', 'other.test'],
        ...['X-Original-URL', '/orders/8', 'X-Original-Method', 'GET'],
      ]
      for (const headers of [proof, [...target, ...proof], [...proof, ...target]]) {
        const answer = await post(headers)
        t.equal(answer.status, 401)
        t.match(answer.headers['www-authenticate'], /dpop_proof_invalid/)
      }
      t.same(application.requests, [])
    },
  )

  await t.test('a bound token without a proof, or with two, is refused', async (t) => {
    const one = await headersWith()
    const other = await headersWith()
    for (const headers of [
      ['Authorization', `DPoP ${token}`],
      ['Authorization', `Bearer ${token}`],
      [...one, ...other.slice(2)],
    ]) {
      const { status } = await post(headers)
      t.ok(status === 401 || status === 400, `${status}`)
    }
    t.same(application.requests, [])
  })
}
