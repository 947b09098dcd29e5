import t, { type Test } from 'tap'
import { createVerifier, type VerifierOptions } from '../../../src/verifier/index.ts'
import { FakeClock } from '../../support/clock.ts'
import { claimsWith, headerWith, makeKey, mint, now_s } from '../../support/tokens.ts'
import { until } from '../../support/until.ts'
import { overEveryAdapter } from '../harness.ts'
import { JwksServer, respond, serve } from '../jwks-server.ts'

const key = makeKey('ES256', 'known')

async function open(t: Test, server: JwksServer, changes: Partial<VerifierOptions> = {}) {
  const { issuer } = server
  const verifier = createVerifier({ issuer, audience: null, ...changes })
  t.teardown(() => verifier.close())
  const payload = claimsWith({ iss: issuer, exp: now_s + 86_400 })
  return { expect: await overEveryAdapter(t, verifier), verifier, payload }
}

t.test(
  'A29: a flood of unknown kids reaches the issuer a few times, and keeps nobody out',
  async (t) => {
    const server = await JwksServer.open(t, serve([key]))
    const clock = new FakeClock(now_s * 1000)
    const { expect, verifier, payload } = await open(t, server, { clock })
    await verifier.ready()
    const unknown = (at: number) =>
      mint(key, { header: headerWith(key, { kid: `unknown-${at}` }), payload })
    for (let at = 0; at < 300; at += 1) {
      await expect(unknown(at), 'token_key_unknown')
      if (at % 50 === 0) await expect(mint(key, { payload }), 'accepted', 'a known key')
    }
    t.ok(server.requests <= 5, `${server.requests} requests for 1200 unknown tokens`)

    const next = makeKey('ES256', 'next')
    server.answer = serve([key, next])
    clock.advance_s(6)
    for (let at = 300; at < 310; at += 1) await expect(unknown(at), 'token_key_unknown')
    clock.advance_s(6)
    await expect(mint(next, { payload }), 'accepted', 'a genuine new key')
  },
)

/** For servers that never answer. Those that do may be late too, on a machine with much to do. */
const fetchTimeoutMs = 500

const failures: Readonly<Record<string, JwksServer['answer']>> = {
  'is silent': () => {},
  'is slow': (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).write('{"keys":[')
  },
  'never ends': (_request, response) => {
    response.writeHead(200)
    const more = () => {
      while (!response.destroyed && response.write(' '.repeat(16_384)));
    }
    response.on('drain', more)
    more()
  },
  fails: respond(500, '{}'),
  'is not there': respond(404, '{}'),
  'answers garbage': respond(200, 'garbage'),
  'answers a page': respond(200, '<html></html>', { 'content-type': 'text/html' }),
  'answers an empty set': respond(200, '{"keys":[]}'),
  'answers no set': respond(200, '[]'),
  'gives a member twice': respond(200, '{"keys":[],"keys":[]}'),
  redirects: respond(302, '', { location: 'http://127.0.0.1:1/' }),
  'hangs up': (request) => request.destroy(),
}

for (const [what, answer] of Object.entries(failures)) {
  t.test(`A30: a key address that ${what}`, async (t) => {
    const server = await JwksServer.open(t, answer)
    const { expect, payload } = await open(t, server, { fetchTimeoutMs })
    await expect(mint(key, { payload }), 'keys_unavailable', 'from the start')

    const clock = new FakeClock(now_s * 1000)
    const later = await JwksServer.open(t, serve([key], { 'cache-control': 'max-age=60' }))
    const lived = await open(t, later, {
      clock,
      maxJwksAgeSeconds: 600,
      fetchTimeoutMs,
    })
    const isReady = () =>
      lived.verifier.ready().then(
        () => true,
        () => false,
      )
    await until('the keys are fetched', isReady)
    later.answer = answer
    const token = mint(key, { payload: lived.payload })
    clock.advance_s(599)
    await lived.expect(token, 'accepted', 'the last good set serves')
    clock.advance_s(2)
    await lived.expect(token, 'keys_unavailable', 'up to its maximum')
  })
}
