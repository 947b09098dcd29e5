import type { Test } from 'tap'
import { createVerifier, type RevocationOptions } from '../../../src/verifier/index.ts'
import { FakeClock } from '../../support/clock.ts'
import { audience, claimsWith, issuer, makeKey, mint, now_s } from '../../support/tokens.ts'
import { until } from '../../support/until.ts'
import { answerOf } from '../harness.ts'
import { FeedServer } from './feed-server.ts'

/** Records the delays of the timers that a file of the verifier starts, in milliseconds. */
export function captureDelays(t: Test, start = setTimeout): (file: string) => number[] {
  const results = t.capture(globalThis, 'setTimeout', start)
  const calls: ReturnType<typeof results> = []
  return (file) => {
    calls.push(...results())
    const started = calls.filter(({ at }) => at?.fileName?.endsWith(file))
    return started.map(({ args }) => Number(args[1]))
  }
}

/** A verifier that follows a feed whose messages the test writes. */
export async function openFollowing(t: Test, options: RevocationOptions = {}) {
  const key = makeKey('ES256')
  const feed = await FeedServer.open(t, key)
  const clock = new FakeClock(now_s * 1000)
  return { key, feed, clock, ...follow(t, feed, clock, [key.publicJwk], options) }
}

/** Another verifier of the same feed. */
export function follow(
  t: Test,
  feed: FeedServer,
  clock: FakeClock,
  keys: readonly object[],
  options: RevocationOptions = {},
) {
  const verifier = createVerifier({
    issuer,
    audience,
    jwks: { keys },
    clock,
    revocations: { uri: feed.uri, pollIntervalSeconds: 1, ...options },
  })
  t.teardown(() => verifier.close())
  const status = () => {
    const { revocations } = verifier.status()
    if (revocations === null) throw new Error('no revocations are followed')
    return revocations
  }
  return {
    verifier,
    status,
    /** "accepted", or why a token with these claims is refused. */
    answer: (claims: Record<string, unknown> = {}, by = feed.key, requirements = {}) =>
      answerOf(() => verifier.verify(mint(by, { payload: claimsWith(claims) }), requirements)),
    untilState: (state: string) => until(state, () => status().state === state),
    untilError: (pattern: RegExp) =>
      until(String(pattern), () => pattern.test(status().lastError ?? '')),
  }
}
