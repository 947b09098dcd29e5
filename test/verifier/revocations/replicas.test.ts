import t, { type Test } from 'tap'
import {
  createVerifier,
  type RevocationOptions,
  type Verifier,
} from '../../../src/verifier/index.ts'
import { audience, bearer, issuerUrl, startIssuer, type TestIssuer } from '../../support/issuer.ts'
import { policy } from '../../support/sessions.ts'
import { until } from '../../support/until.ts'
import { answerOf } from '../harness.ts'

const replicaCount = 10
/** No replica polls within a test, so what reaches it came by its stream. */
const streamOnly: RevocationOptions = { pollIntervalSeconds: 3600 }

/** Verifiers of an issuer, each with its own connection to it. */
async function startReplicas(
  t: Test,
  issuer: TestIssuer,
  count = replicaCount,
  options: RevocationOptions = streamOnly,
): Promise<Verifier[]> {
  const { url } = await issuer.listen()
  const replicas = Array.from({ length: count }, () =>
    createVerifier({
      issuer: issuerUrl,
      audience,
      jwksUri: `${url}/.well-known/jwks.json`,
      clock: issuer.clock,
      revocations: options,
    }),
  )
  t.teardown(() => Promise.all(replicas.map((one) => one.close())))
  await Promise.all(replicas.map((one) => one.ready()))
  const state = options.stream === false ? 'polling' : 'streaming'
  await until(`all are ${state}`, () =>
    replicas.every((one) => one.status().revocations?.state === state),
  )
  return replicas
}

/** Acts, and waits until each replica refuses the token. Returns the times, in milliseconds. */
async function untilRefused(
  replicas: readonly Verifier[],
  token: string,
  act: () => Promise<unknown>,
): Promise<number[]> {
  const acting = act()
  const startMs = performance.now()
  const times = replicas.map(async (replica) => {
    await until('it is refused', async () => {
      return (await answerOf(async () => replica.verifySync(token))) === 'token_revoked'
    })
    return performance.now() - startMs
  })
  await acting
  return Promise.all(times)
}

t.test('a sign-out reaches ten replicas by their streams', async (t) => {
  const issuer = await startIssuer(t)
  const replicas = await startReplicas(t, issuer)
  const all: number[] = []
  for (let n = 0; n < 5; n++) {
    const { access_token, refresh_token } = await issuer.signIn()
    for (const one of replicas) t.ok(await one.verify(access_token))
    const logout = () => issuer.call({ method: 'POST', url: '/logout', body: { refresh_token } })
    all.push(...(await untilRefused(replicas, access_token, logout)))
  }
  all.sort((a, b) => a - b)
  const p99 = all[Math.ceil(all.length * 0.99) - 1] ?? Number.NaN
  // The promise is a second. It is not asserted: a loaded machine may take longer.
  t.comment(`p50 ${all[Math.floor(all.length / 2)]?.toFixed(0)} ms, p99 ${p99.toFixed(0)} ms`)
})

t.test('I1: a reuse reaches every replica by its stream', async (t) => {
  const issuer = await startIssuer(t)
  const replicas = await startReplicas(t, issuer)
  const { refresh_token } = await issuer.signIn()
  issuer.clock.advance_s(10)
  const { access_token } = (await issuer.refresh(refresh_token)).json()
  issuer.clock.advance_s(10)
  for (const one of replicas) t.ok(one.verifySync(access_token))
  const reuse = async () =>
    t.match((await issuer.refresh(refresh_token)).json(), { code: 'refresh_token_reused' })
  await untilRefused(replicas, access_token, reuse)
})

t.test(
  'signing out everywhere revokes the tokens of all devices, and no later token',
  async (t) => {
    const issuer = await startIssuer(t)
    const replicas = await startReplicas(t, issuer, 2)
    const [first, second] = [await issuer.signIn(), await issuer.signIn()]
    const logoutAll = () =>
      issuer.call({ method: 'POST', url: '/logout/all', headers: bearer(first.access_token) })
    await untilRefused(replicas, second.access_token, logoutAll)
    issuer.clock.advance_s(1)
    const { access_token } = await issuer.signIn()
    for (const one of replicas) {
      t.equal(await answerOf(() => one.verify(first.access_token)), 'token_revoked')
      t.ok(await one.verify(access_token))
    }
  },
)

t.test('a sign-out reaches a replica that only polls', async (t) => {
  const issuer = await startIssuer(t)
  const replicas = await startReplicas(t, issuer, 2, { stream: false, pollIntervalSeconds: 1 })
  const { access_token, refresh_token } = await issuer.signIn()
  const logout = () => issuer.call({ method: 'POST', url: '/logout', body: { refresh_token } })
  await untilRefused(replicas, access_token, logout)
})

t.test('a revoked key is refused, and the next key is loaded immediately', async (t) => {
  const issuer = await startIssuer(t)
  const replicas = await startReplicas(t, issuer, 3)
  const { access_token, refresh_token } = await issuer.signIn()
  for (const one of replicas) t.ok(await one.verify(access_token))
  const { kid } = issuer.keys.signingKey()
  await issuer.keys.revoke(kid)
  await issuer.sessions.appendRevocation('key', kid, issuer.clock.nowMs(), policy.revokedKeptMs)
  for (const one of replicas) {
    await until('it is refused', async () => {
      const answer = await answerOf(() => one.verify(access_token))
      return answer === 'token_revoked' || answer === 'token_key_unknown'
    })
    const refreshed = (await issuer.refresh(refresh_token)).json()
    t.ok(
      await one.verify(refreshed.access_token),
      'signed by a key that was not known a moment ago',
    )
    t.equal(one.status().revocations?.state, 'streaming', 'it signs events, too')
  }
})
