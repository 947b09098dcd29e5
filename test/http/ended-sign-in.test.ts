import t, { type Test } from 'tap'
import { GatepassError } from '../../src/core/errors.ts'
import type { RotationRequest, RotationResult, Session } from '../../src/stores/ports.ts'
import { SqliteSessionStore } from '../../src/stores/sqlite/session-store.ts'
import { bearer, claimsOf } from '../support/issuer.ts'
import { startOAuth } from '../support/oauth.ts'
import { redemption, Visitor } from '../support/visitor.ts'

/** Codes and refresh tokens whose sign-in ends before they are used, or meanwhile. */

/** Runs a step at a call of the store. */
class Sessions extends SqliteSessionStore {
  beforeCreate = async () => {}
  afterList = async () => {}
  beforeRevokeAll = async () => {}
  afterRevokeAll = async () => {}
  afterRotate = async () => {}

  override async create(session: Session): Promise<number> {
    await this.beforeCreate()
    return super.create(session)
  }

  override async listBySub(sub: string, nowMs: number): Promise<Session[]> {
    const sessions = await super.listBySub(sub, nowMs)
    await this.afterList()
    return sessions
  }

  override async revokeAll(sub: string, nowMs: number, keptMs: number): Promise<number> {
    await this.beforeRevokeAll()
    const count = await super.revokeAll(sub, nowMs, keptMs)
    await this.afterRevokeAll()
    return count
  }

  override async rotate(request: RotationRequest): Promise<RotationResult> {
    const result = await super.rotate(request)
    await this.afterRotate()
    return result
  }
}

async function setUp(t: Test) {
  const sessions = new Sessions(':memory:')
  const issuer = await startOAuth(t, { sessions })
  const { sub = '' } = (await issuer.accounts.findByLoginName('ada')) ?? {}
  const { access_token } = await issuer.signIn()
  issuer.clock.advance_s(1)
  const visitor = new Visitor(issuer)
  const { answer } = await visitor.signIn(await visitor.authorize())
  return {
    issuer,
    sessions,
    sub,
    redeem: () => issuer.token({ ...redemption, code: answer?.code ?? '' }),
    live: () => sessions.listBySub(sub, issuer.clock.nowMs()),
    signOutEverywhere: () =>
      issuer.call({ method: 'POST', url: '/logout/all', headers: bearer(access_token) }),
    signOutAtIssuer: async () => visitor.submit(await visitor.get('/oauth/logout'), {}),
  }
}

type SetUp = Awaited<ReturnType<typeof setUp>>

const ends: Record<string, (parts: SetUp) => Promise<unknown>> = {
  'the user signs out everywhere': ({ signOutEverywhere }) => signOutEverywhere(),
  'the password is changed': ({ issuer }) => issuer.users.setPassword('ada', 'another password'),
}

const refused = { status: 400, body: { error: 'invalid_grant' } }

for (const [what, end] of Object.entries(ends)) {
  t.test(`a code is refused once ${what}`, async (t) => {
    const parts = await setUp(t)
    await end(parts)
    t.match(await parts.redeem(), refused)
    t.same(await parts.live(), [])
    const { event, reason } = parts.issuer.audit().at(-1) ?? {}
    t.same({ event, reason }, { event: 'session.revoked', reason: 'sign_in_ended' })
    t.notOk(parts.issuer.audit().some((one) => one.event === 'login.ok' && one.client_id === 'spa'))
  })

  t.test(`a code is refused if ${what} while it is redeemed`, async (t) => {
    const parts = await setUp(t)
    parts.sessions.beforeCreate = async () => void (await end(parts))
    t.match(await parts.redeem(), refused)
    t.same(await parts.live(), [])
  })
}

t.test('a sign-out at the issuer ends the sessions that begin meanwhile', async (t) => {
  const { sessions, redeem, live, signOutAtIssuer } = await setUp(t)
  const before = (await live()).length
  sessions.afterList = async () => {
    sessions.afterList = async () => {}
    t.match(await redeem(), { status: 200 })
  }
  t.match(await signOutAtIssuer(), { status: 303 })
  t.equal((await live()).length, before - 1, 'the sign-in has ended, and no session is left of it')
  t.match(await redeem(), refused)
})

t.test('a session that begins while all sessions are revoked is revoked too', async (t) => {
  const { sessions, sub, live, signOutEverywhere } = await setUp(t)
  const [first] = await live()
  if (first === undefined) throw new Error('There is no session.')
  // A store may have listed the sessions of the user before this one was stored.
  sessions.afterRevokeAll = async () =>
    void (await sessions.create({ ...first, sid: 'later', sub }))
  t.equal((await signOutEverywhere()).statusCode, 204)
  t.same(await live(), [])
})

t.test('a sign-out everywhere that fails after sessions have ended is audited', async (t) => {
  const { issuer, sessions, sub, signOutEverywhere } = await setUp(t)
  sessions.afterRevokeAll = async () => {
    sessions.afterList = async () => {
      throw new GatepassError('store_unavailable')
    }
  }
  t.equal((await signOutEverywhere()).statusCode, 503)
  const audited = issuer.audit().filter(({ event }) => event === 'logout.all')
  t.match(audited, [{ sub, count: 2 }])
  t.equal(audited.length, 1)
})

t.test(
  'a sign-out everywhere ends the token of a refresh that the store answers late',
  async (t) => {
    const { issuer, sessions, sub, signOutEverywhere } = await setUp(t)
    const { refresh_token } = await issuer.signIn()
    sessions.afterRotate = async () => {
      t.equal((await signOutEverywhere()).statusCode, 204)
      issuer.clock.advance_s(1)
    }
    const { access_token, expires_in } = (await issuer.refresh(refresh_token)).json()
    t.equal(expires_in, 299)
    const { iat } = claimsOf(access_token)
    t.ok(Number(iat) <= issuer.revocations.revokedUntilSeconds(sub))
  },
)

t.test('a sign-out everywhere that waits for the store ends the token of a sign-in', async (t) => {
  const { issuer, sessions, sub, signOutEverywhere } = await setUp(t)
  let token = ''
  sessions.beforeRevokeAll = async () => {
    issuer.clock.advance_s(1)
    token = (await issuer.signIn()).access_token
  }
  t.equal((await signOutEverywhere()).statusCode, 204)
  const { iat } = claimsOf(token)
  t.ok(Number(iat) <= issuer.revocations.revokedUntilSeconds(sub))
})
