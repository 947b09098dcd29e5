import t from 'tap'
import { createVerifier } from '../../../src/verifier/index.ts'
import { FakeClock } from '../../support/clock.ts'
import { claimsWith, encode, makeKey, mint, now_s, withSignature } from '../../support/tokens.ts'
import { keyOf, keys, openHarness, options, overEveryAdapter } from '../harness.ts'
import { JwksServer, serve } from '../jwks-server.ts'

const es256 = keyOf('ES256')

t.test('A21: no token is taken for another that was accepted', async (t) => {
  const expect = await openHarness(t, { maxTokenBytes: 16_384 })
  for (const key of keys) {
    const token = mint(key)
    await expect(token, 'accepted')
    const [header = '', payload = '', signature = ''] = token.split('.')
    const admin = encode(claimsWith({ sub: 'admin' }))
    await expect(`${header}.${admin}.${signature}`, 'token_signature', 'other claims')
    for (const at of [0, signature.length >> 1, signature.length - 10]) {
      const other = signature[at] === 'A' ? 'B' : 'A'
      const changed = `${signature.slice(0, at)}${other}${signature.slice(at + 1)}`
      await expect(`${header}.${payload}.${changed}`, 'token_signature', `at ${at}`)
    }
    const empty = withSignature(token, () => Buffer.alloc(0))
    await expect(empty, 'token_signature', 'none')
    await expect(token, 'accepted', 'and again')
  }
})

t.test('A21: two good tokens have their own claims', async (t) => {
  const verifier = createVerifier(options)
  for (let round = 0; round < 3; round += 1) {
    for (const sub of ['user-1', 'user-2', 'user-11', 'user-12']) {
      const token = mint(es256, { payload: claimsWith({ sub }) })
      t.equal((await verifier.verify(token)).sub, sub)
      t.equal(verifier.verifySync(token).sub, sub)
    }
  }
})

t.test('A21: a token that was accepted is refused once it has expired', async (t) => {
  const clock = new FakeClock(now_s * 1000)
  const expect = await openHarness(t, { clock, clockToleranceSeconds: 5 })
  const token = mint(es256, { payload: claimsWith({ exp: now_s + 10 }) })
  await expect(token, 'accepted')
  clock.advance_s(14)
  await expect(token, 'accepted', 'within the tolerance')
  clock.advance_s(1)
  await expect(token, 'token_expired')
  clock.advance_s(-3600)
  await expect(token, 'token_not_yet_valid', 'the clock was set back')
})

t.test('A21: and once its session was revoked', async (t) => {
  const ended = new Set<unknown>()
  const revocations = { isRevoked: ({ sid }: { readonly sid?: string }) => ended.has(sid) }
  const expect = await openHarness(t, { revocations })
  const token = mint(es256)
  await expect(token, 'accepted')
  ended.add('session-1')
  await expect(token, 'token_revoked')
  await expect(mint(es256, { payload: claimsWith({ sid: 'session-2' }) }), 'accepted')
})

t.test('A21: and once its key has left the set, though another took its kid', async (t) => {
  const clock = new FakeClock(now_s * 1000)
  const [old, next] = [makeKey('ES256', 'same'), makeKey('ES256', 'same')]
  const server = await JwksServer.open(t, serve([old], { 'cache-control': 'max-age=300' }))
  const { issuer } = server
  const verifier = createVerifier({ issuer, audience: null, clock, clockToleranceSeconds: 300 })
  t.teardown(() => verifier.close())
  const expect = await overEveryAdapter(t, verifier)
  const payload = claimsWith({ iss: issuer, exp: now_s + 3600 })
  const token = mint(old, { payload })
  await expect(token, 'accepted')
  const extra = makeKey('ES256', 'extra')
  server.answer = serve([next, extra])
  clock.advance_s(6)
  await expect(mint(extra, { payload }), 'accepted', 'the new set is here')
  await expect(token, 'token_signature')
  await expect(mint(next, { payload }), 'accepted')
})
