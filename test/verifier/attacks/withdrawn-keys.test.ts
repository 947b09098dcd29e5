import { availableParallelism } from 'node:os'
import t, { type Test } from 'tap'
import { securityEventType } from '../../../src/tokens/revocation-tokens.ts'
import { createVerifier, type KeySource, type Verifier } from '../../../src/verifier/index.ts'
import { RemoteKeys } from '../../../src/verifier/keys/remote-keys.ts'
import { verifyIssuerMessage } from '../../../src/verifier/signature.ts'
import { FakeClock } from '../../support/clock.ts'
import {
  audience,
  claimsWith,
  headerWith,
  issuer,
  makeKey,
  mint,
  now_s,
  type TestKey,
} from '../../support/tokens.ts'
import { answerOf, changingKeys, keys as everyKey } from '../harness.ts'
import { JwksServer, serve } from '../jwks-server.ts'

/** Algorithms that the thread pool verifies if there is more than one core. */
const hasOneCore = availableParallelism() === 1
const onThreads = ['ES256', 'Ed25519', 'ML-DSA-44'] as const

const tokensOf = (key: TestKey, count: number) =>
  Array.from({ length: count }, (_, n) => mint(key, { payload: claimsWith({ jti: `token-${n}` }) }))

const answersOf = (verifier: Verifier, tokens: readonly string[]) =>
  Promise.all(tokens.map((token) => answerOf(() => verifier.verify(token))))

const answersAtOnceOf = (verifier: Verifier, tokens: readonly string[]) =>
  Promise.all(tokens.map((token) => answerOf(async () => verifier.verifySync(token))))

for (const alg of onThreads) {
  for (const count of [1, 20, 300]) {
    t.test(`A31: a key leaves while ${count} tokens of ${alg} are being verified`, async (t) => {
      const [old, next] = [makeKey(alg, 'old'), makeKey(alg, 'next')]
      const keys = changingKeys(old, next)
      const clock = new FakeClock(now_s * 1000)
      const verifier = createVerifier({ issuer, audience, keys: keys.source, clock })
      const tokens = tokensOf(old, count)
      const refused = tokens.map(() => 'token_key_unknown')
      const inProgress = answersOf(verifier, tokens)
      keys.replace(next)
      t.same(await inProgress, hasOneCore ? tokens.map(() => 'accepted') : refused)
      t.same(await answersOf(verifier, tokens), refused)
      t.same(await answersAtOnceOf(verifier, tokens), refused)
      t.equal(verifier.status().cache?.tokens, 0)
    })
  }

  t.test(`A31: a key of ${alg} that stays keeps its tokens, also those in progress`, async (t) => {
    const [stays, leaves] = [makeKey(alg, 'stays'), makeKey(alg, 'leaves')]
    const keys = changingKeys(stays, leaves)
    const clock = new FakeClock(now_s * 1000)
    const verifier = createVerifier({ issuer, audience, keys: keys.source, clock })
    const tokens = tokensOf(stays, 20)
    const inProgress = answersOf(verifier, tokens)
    keys.replace(stays)
    const accepted = tokens.map(() => 'accepted')
    t.same(await inProgress, accepted)
    t.same(await answersOf(verifier, tokens), accepted)
  })
}

/** A verifier with fetched keys, whose first tokens wait for the list of revocations. */
async function waitForList(t: Test, key: TestKey) {
  const server = await JwksServer.open(t, serve([key]))
  const clock = new FakeClock(now_s * 1000)
  const jwksUri = `${server.issuer}/.well-known/jwks.json`
  const keys = new RemoteKeys({ jwksUri, fetchTimeoutMs: 5000, maxAgeSeconds: 60, clock })
  const asked = Promise.withResolvers<void>()
  const list = Promise.withResolvers<void>()
  const revocations = {
    isRevoked: () => false,
    isPending: true,
    ready: () => {
      asked.resolve()
      return list.promise
    },
  }
  const { issuer } = server
  const verifier = createVerifier({ issuer, audience, keys, clock, revocations })
  t.teardown(() => verifier.close())
  await keys.ready()
  const token = mint(key, { payload: claimsWith({ iss: issuer, exp: now_s + 3600 }) })
  const answer = () => answerOf(() => verifier.verify(token))
  const inProgress = answer()
  await asked.promise
  const giveList = () => {
    revocations.isPending = false
    list.resolve()
  }
  return { server, clock, keys, giveList, inProgress, answer }
}

for (const key of everyKey) {
  t.test(`A31: a key of ${key.alg} leaves while its token waits for the list`, async (t) => {
    const { server, keys, giveList, inProgress, answer } = await waitForList(t, key)
    server.answer = serve([makeKey('ES256', 'next')])
    await keys.refreshNow()
    giveList()
    t.equal(await inProgress, 'token_key_unknown')
    t.equal(await answer(), 'token_key_unknown')
  })

  t.test(`A31: another key takes the kid of ${key.alg} meanwhile`, async (t) => {
    const { server, keys, giveList, inProgress, answer } = await waitForList(t, key)
    server.answer = serve([makeKey(key.alg, key.kid)])
    await keys.refreshNow()
    giveList()
    t.equal(await inProgress, 'token_signature')
    t.equal(await answer(), 'token_signature')
  })
}

t.test('A31: the keys become too old while a token waits for the list', async (t) => {
  const { server, clock, giveList, inProgress, answer } = await waitForList(t, makeKey('ES256'))
  server.answer = (_request, response) => response.writeHead(500).end()
  clock.advance_s(61)
  giveList()
  t.equal(await inProgress, 'keys_unavailable')
  t.equal(await answer(), 'keys_unavailable')
})

t.test('A31: the key of a revocation feed is withdrawn while an event is verified', async (t) => {
  const [old, next] = [makeKey('ES256', 'old'), makeKey('ES256', 'next')]
  const event = mint(old, { header: headerWith(old, { typ: securityEventType }), payload: '{}' })
  const revoked = new Set<string>()
  const isKeyRevoked = (kid: string) => revoked.has(kid)
  const open = (keys: KeySource) =>
    verifyIssuerMessage(event, securityEventType, 1024, { keys, isKeyRevoked })
  const keys = changingKeys(old, next)
  t.equal(String(await open(keys.source)), '{}')
  const inProgress = [open(keys.source), open(keys.source)]
  keys.replace(next)
  await Promise.all(inProgress.map((one) => t.rejects(one, /withdrawn meanwhile/)))
  keys.replace(old)
  const another = open(keys.source)
  revoked.add('old')
  await t.rejects(another, /withdrawn meanwhile/)
  await t.rejects(open(keys.source), /a revoked key/)
})

t.test('changes while a signature is verified count', async (t) => {
  const revoked = new Set<unknown>()
  const revocations = { isRevoked: ({ sid }: { readonly sid?: string }) => revoked.has(sid) }
  for (const alg of onThreads) {
    const key = makeKey(alg)
    const clock = new FakeClock(now_s * 1000)
    const keys = changingKeys(key).source
    const verifier = createVerifier({ issuer, audience, keys, clock, revocations })
    const [atFirst, later] = hasOneCore
      ? ['accepted', 'accepted']
      : ['token_revoked', 'token_expired']
    const first = answersOf(verifier, tokensOf(key, 2))
    revoked.add('session-1')
    t.same(await first, [atFirst, atFirst])
    revoked.clear()
    const second = answersOf(verifier, [mint(key, { payload: claimsWith({ exp: now_s + 10 }) })])
    clock.advance_s(15)
    t.same(await second, [later])
  }
})
