import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import t, { type Test } from 'tap'
import {
  AuthorizationCodes,
  type AuthorizationGrant,
  codeChallengeOf,
  type RedeemRequest,
} from '../../src/oauth/authorization-codes.ts'
import { SqliteSessionStore } from '../../src/stores/sqlite/session-store.ts'
import { FakeClock } from '../support/clock.ts'
import { createTestFolder } from '../support/test-folder.ts'

const codeVerifier = 'a-verifier-of-forty-three-characters-or-more'

const grant: AuthorizationGrant = {
  clientId: 'spa',
  redirectUri: 'https://app.example.com/cb',
  codeChallenge: codeChallengeOf(codeVerifier),
  sub: 'user-1',
  signInSid: 'a sign-in',
  scope: 'data:read',
  amr: ['pwd'],
  authTimeMs: Date.UTC(2026, 0, 1),
  userAgent: 'a browser',
}

/** Replicas on one store: which sessions each started and ended. */
function startReplicas(t: Test, count = 1) {
  const path = join(createTestFolder(t), 'sessions.db')
  const clock = new FakeClock()
  const started = new Set<string>()
  const live = new Set<string>()
  const replicas = Array.from({ length: count }, () => {
    const store = new SqliteSessionStore(path)
    t.teardown(() => store.close())
    const sessions = {
      async revokeUnchecked(sid: string) {
        if (!started.has(sid)) throw new Error(`there is no session ${sid}`)
        await setImmediate()
        live.delete(sid)
      },
    }
    return new AuthorizationCodes({ store, sessions, clock })
  })
  const start = async () => {
    const sessionId = randomUUID()
    started.add(sessionId)
    live.add(sessionId)
    return { sessionId }
  }
  const redeem = (code: string, changes: Partial<RedeemRequest> = {}, at = 0) => {
    const { clientId, redirectUri } = grant
    const request = { code, clientId, redirectUri, codeVerifier, jkt: undefined, ...changes }
    const replica = replicas[at % count]
    if (replica === undefined) throw new Error('there is no replica')
    return replica.redeem(request, start, () => {})
  }
  const [first] = replicas
  if (first === undefined) throw new Error('there is no replica')
  return { clock, started, live, redeem, issue: (more = {}) => first.issue({ ...grant, ...more }) }
}

t.test('a code is redeemed once; a second use ends the session of the first', async (t) => {
  const { issue, redeem, live } = startReplicas(t)
  const code = await issue()
  t.match(code, /^gpc_/)
  const { sessionId } = await redeem(code)
  t.same([...live], [sessionId])
  await t.rejects(redeem(code), { code: 'grant_invalid' })
  t.same([...live], [])
})

t.test('two replicas at once: one session at most, and none after a second use', async (t) => {
  const { issue, redeem, live } = startReplicas(t, 2)
  for (let round = 0; round < 25; round += 1) {
    const code = await issue()
    const uses = await Promise.allSettled([0, 1, 0, 1].map((at) => redeem(code, {}, at)))
    t.ok(uses.filter(({ status }) => status === 'fulfilled').length <= 1)
    t.same([...live], [], 'each later use has ended the session of the first')
  }
})

t.test('a code with another client, redirect URI or verifier is refused and used up', async (t) => {
  const { issue, redeem, started, live } = startReplicas(t)
  const bad: Record<string, [changes: Partial<RedeemRequest>, reason: RegExp]> = {
    'another client': [{ clientId: 'other' }, /: it belongs to another client$/],
    'another redirect URI': [{ redirectUri: 'https://app.example.com/CB' }, /redirect_uri/],
    'no redirect URI': [{ redirectUri: undefined }, /redirect_uri/],
    'another verifier': [{ codeVerifier: `${codeVerifier}x` }, /code_verifier/],
    'the challenge as the verifier': [{ codeVerifier: grant.codeChallenge }, /code_verifier/],
    'no verifier': [{ codeVerifier: undefined }, /code_verifier/],
  }
  for (const [name, [changes, message]] of Object.entries(bad)) {
    const code = await issue()
    // The reason is for the log.
    await t.rejects(redeem(code, changes), { code: 'grant_invalid', cause: { message } }, name)
    await t.rejects(redeem(code), { code: 'grant_invalid' }, `${name}: it has leaked`)
  }
  t.equal(started.size, 0, 'no session starts')
  const code = await issue()
  const uses = [{ clientId: 'other' }, {}].map((changes) => redeem(code, changes))
  for (const use of uses) await t.rejects(use, { code: 'grant_invalid' }, 'at once')
  t.equal(live.size, 0)
})

t.test('a verifier needs 43 to 128 characters of RFC 7636, also with its challenge', async (t) => {
  const { issue, redeem } = startReplicas(t)
  const withVerifier = async (text: string) =>
    redeem(await issue({ codeChallenge: codeChallengeOf(text) }), { codeVerifier: text })
  for (const text of ['~'.repeat(42), '~'.repeat(129), `${codeVerifier}!`, `!${codeVerifier}`]) {
    await t.rejects(withVerifier(text), { code: 'grant_invalid' }, text)
  }
  for (const length of [43, 128]) await t.resolves(withVerifier('~'.repeat(length)))
})

t.test('a code that is bound to a key needs it', async (t) => {
  const { issue, redeem } = startReplicas(t)
  await t.rejects(redeem(await issue({ jkt: 'one' })), { code: 'grant_invalid' })
  await t.rejects(redeem(await issue({ jkt: 'one' }), { jkt: 'two' }), { code: 'grant_invalid' })
  await t.resolves(redeem(await issue({ jkt: 'one' }), { jkt: 'one' }))
  await t.resolves(redeem(await issue(), { jkt: 'one' }), 'any other code needs none')
})

t.test('a code expires after a minute, and its reuse is detected for longer', async (t) => {
  const { issue, redeem, clock, live } = startReplicas(t)
  const late = await issue()
  clock.advanceMs(60_000)
  await t.rejects(redeem(late), { code: 'grant_invalid' })
  const used = await issue()
  await redeem(used)
  clock.advanceMs(300_000)
  t.equal(live.size, 1)
  await t.rejects(redeem(used), { code: 'grant_invalid' })
  t.equal(live.size, 0)
})

t.test('a malformed code does not reach the store', async (t) => {
  const fail = async () => t.fail('it reached the store')
  const store = { putOneTime: fail, findOneTime: fail, takeOneTime: fail }
  const sessions = { revokeUnchecked: fail }
  const codes = new AuthorizationCodes({ store, sessions, clock: new FakeClock() } as never)
  const request = { clientId: 'spa', redirectUri: undefined, codeVerifier, jkt: undefined }
  const good = `gpc_${'a'.repeat(44)}`
  for (const code of ['', 'x', good.slice(0, -1), `${good}a`, ` ${good}`, good.repeat(100)]) {
    const redeemed = codes.redeem({ ...request, code }, fail as never, () => {})
    await t.rejects(redeemed, { code: 'grant_invalid' })
  }
})

t.test('a code stays valid if its session cannot start', async (t) => {
  const { clock } = startReplicas(t)
  const store = new SqliteSessionStore(join(createTestFolder(t), 'other.db'))
  t.teardown(() => store.close())
  const codes = new AuthorizationCodes({
    store,
    clock,
    sessions: { revokeUnchecked: async () => {} },
  })
  const code = await codes.issue(grant)
  const { clientId, redirectUri } = grant
  const request = { code, clientId, redirectUri, codeVerifier, jkt: undefined }
  const fail = () => Promise.reject(new Error('the store is away'))
  await t.rejects(
    codes.redeem(request, fail, () => {}),
    { message: 'the store is away' },
  )
  await t.resolves(
    codes.redeem(
      request,
      async () => ({ sessionId: 'one' }),
      () => {},
    ),
  )
})
