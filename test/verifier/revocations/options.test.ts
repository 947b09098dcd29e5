import t from 'tap'
import { createVerifier, type VerifierOptions } from '../../../src/verifier/index.ts'
import { audience, issuer, makeKey } from '../../support/tokens.ts'
import { until } from '../../support/until.ts'
import { FeedServer } from './feed-server.ts'
import { openFollowing } from './harness.ts'

const jwks = { keys: [makeKey('ES256').publicJwk] }

t.test('refuses invalid options, by name', async (t) => {
  const cases: [unknown, string][] = [
    ['yes', '/revocations'],
    [null, '/revocations'],
    [{ url: 'https://a.test' }, '/revocations/url'],
    [{ uri: 'ftp://a.test' }, '/revocations/uri'],
    [{ uri: 'https://user:password@a.test' }, '/revocations/uri'],
    [{ uri: 'https://a.test?x=1' }, '/revocations/uri'],
    [{ stream: 'no' }, '/revocations/stream'],
    [{ pollIntervalSeconds: 0 }, '/revocations/pollIntervalSeconds'],
    [{ pollIntervalSeconds: 1.5 }, '/revocations/pollIntervalSeconds'],
    [{ streamTimeoutSeconds: Number.POSITIVE_INFINITY }, '/revocations/streamTimeoutSeconds'],
    [{ maxEntries: 1e9 }, '/revocations/maxEntries'],
    [{ maxStalenessSeconds: 1 }, '/revocations/maxStalenessSeconds'],
  ]
  for (const [revocations, pointer] of cases) {
    const options = { issuer, audience, jwks, revocations } as VerifierOptions
    t.throws(
      () => createVerifier(options),
      { code: 'config_invalid', problems: [{ pointer }] },
      JSON.stringify(revocations),
    )
  }
  const named = { issuer: 'no address', audience, revocations: true }
  for (const keys of [{ jwks }, { jwksUri: 'https://auth.test/keys' }]) {
    t.throws(() => createVerifier({ ...named, ...keys }), {
      code: 'config_invalid',
      problems: [{ pointer: '/revocations/uri' }],
    })
  }
})

t.test('following revocations is off by default', async (t) => {
  for (const revocations of [undefined, false]) {
    const verifier = createVerifier({
      issuer,
      audience,
      jwks,
      ...(revocations !== undefined && { revocations }),
    })
    t.equal(verifier.status().revocations, null)
  }
  const own = { isRevoked: () => true }
  const verifier = createVerifier({ issuer, audience, jwks, revocations: own })
  t.equal(verifier.status().revocations, null, 'a list without a status')
  await verifier.close()
})

t.test('the feed is below the address of the keys, or of the issuer', async (t) => {
  const feed = await FeedServer.open(t, makeKey('ES256'))
  const base = feed.uri.slice(0, -'/revocations'.length)
  const places: Partial<VerifierOptions>[] = [
    { issuer: base },
    { issuer: `${base}/` },
    { issuer: 'https://auth.test', jwksUri: `${base}/.well-known/jwks.json` },
    { issuer: base, jwksUri: 'http://127.0.0.1:1/keys' },
    { issuer: base, jwksUri: 'http://127.0.0.1:1/keys?of=orders' },
  ]
  for (const place of places) {
    const before = feed.snapshots
    const verifier = createVerifier({ issuer, audience, revocations: true, ...place })
    await until('it asks there', () => feed.snapshots > before)
    await verifier.close()
  }
})

t.test('maxStalenessSeconds applies to a use without failClosed', async (t) => {
  const { feed, clock, answer, untilState } = await openFollowing(t, { maxStalenessSeconds: 20 })
  await untilState('streaming')
  t.equal(await answer(), 'accepted')
  feed.onStream = (_request, response) => response.writeHead(503).end()
  feed.onSnapshot = (_request, response) => response.writeHead(503).end()
  feed.cut()
  await untilState('down')
  clock.advance_s(21)
  t.equal(await answer(), 'revocations_stale')
  t.equal(await answer({}, feed.key, { failClosed: true }), 'accepted', '30 s')
  t.equal(await answer({}, feed.key, { failClosed: false }), 'accepted')
})
