import type { Test } from 'tap'
import {
  createVerifier,
  type KeySource,
  type KeySourceStatus,
  type Verifier,
} from '../../../src/verifier/index.ts'
import { RemoteKeys, type RemoteKeysOptions } from '../../../src/verifier/keys/remote-keys.ts'
import { FakeClock } from '../../support/clock.ts'
import { claimsWith, makeKey, mint, now_s, type TestKey } from '../../support/tokens.ts'
import { answerOf } from '../harness.ts'
import { JwksServer } from '../jwks-server.ts'

export const first = makeKey('ES256', 'first')
export const second = makeKey('ES256', 'second')
export const day_s = 86_400

/** A verifier of an issuer that answers as a test says. */
export interface TestSetup {
  readonly server: JwksServer
  readonly clock: FakeClock
  readonly keys: KeySource
  readonly verifier: Verifier
  /** The code for a token of this key, asked for with or without a wait. */
  readonly answer: (key: TestKey) => Promise<string>
  readonly answerSync: (key: TestKey) => Promise<string>
}

/** Its tokens are valid for ten days. Every random wait is the longest there is. */
export async function setUp(
  t: Test,
  answer: JwksServer['answer'],
  changes: Partial<RemoteKeysOptions> = {},
): Promise<TestSetup> {
  const server = await JwksServer.open(t, answer)
  const clock = new FakeClock(now_s * 1000)
  const keys = new RemoteKeys({
    jwksUri: `${server.issuer}/.well-known/jwks.json`,
    fetchTimeoutMs: 60_000,
    maxAgeSeconds: day_s,
    clock,
    random: () => 1,
    ...changes,
  })
  const verifier = createVerifier({
    issuer: server.issuer,
    audience: null,
    clockToleranceSeconds: 300,
    clock,
    keys,
  })
  t.teardown(() => verifier.close())
  const payload = claimsWith({ iss: server.issuer, exp: now_s + 10 * day_s })
  return {
    server,
    clock,
    keys,
    verifier,
    answer: (key) => answerOf(() => verifier.verify(mint(key, { payload }))),
    answerSync: (key) => answerOf(async () => verifier.verifySync(mint(key, { payload }))),
  }
}

/** Resolves when a fetch that began in the background has changed the status so. */
export async function untilKeys(
  { verifier }: Pick<TestSetup, 'verifier'>,
  isSo: (status: KeySourceStatus) => boolean,
): Promise<void> {
  while (!isSo(verifier.status().keys)) await new Promise((resolve) => setImmediate(resolve))
}
