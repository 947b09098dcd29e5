import type { Answer, Ask, ClientScheme, Session } from '../../system.ts'

interface TokenAnswer {
  readonly access_token: string
  readonly expires_in: number
}

const cookieName = '__Host-gatepass='

/**
 * What gatepass/browser does: an access token in memory, the refresh token as a cookie, and a key with
 * each attempt to refresh.
 * @param withKeys false is a fault: a lost answer can't be had again
 */
export function gatepassScheme(origin: string, withKeys: boolean): ClientScheme {
  const headers = (session?: Session) => ({ origin, ...(session && { cookie: session.secret }) })
  return {
    login: async (ask, { name, password }) =>
      sessionOf(
        await ask({
          method: 'POST',
          path: '/login',
          headers: headers(),
          body: { username: name, password },
          isRepeatable: true,
        }),
        '',
      ),
    refresh: async (ask, session, key) =>
      sessionOf(
        await ask({
          method: 'POST',
          path: '/refresh',
          headers: { ...headers(session), ...(withKeys && { 'idempotency-key': key }) },
          isRepeatable: true,
        }),
        session.secret,
      ),
    logout: (ask, session) => post(ask, '/logout', headers(session)),
    signOutEverywhere: (ask, session) => post(ask, '/logout/all', session.headers),
  }
}

/** Both may be sent twice: who is signed out already is so again. */
function post(ask: Ask, path: string, headers: Readonly<Record<string, string>>) {
  return ask({ method: 'POST', path, headers, isRepeatable: true })
}

/** @param cookie what the browser has, where the answer sets none */
function sessionOf(answer: Answer, cookie: string): Session | Answer {
  if (answer.status !== 200) return answer
  const { access_token, expires_in } = answer.body as TokenAnswer
  const set = [answer.headers['set-cookie'] ?? []].flat()
  const own = set.find((one) => one.startsWith(cookieName))
  return {
    headers: { authorization: `Bearer ${access_token}` },
    life_ms: expires_in * 1000,
    secret: own?.split(';')[0] ?? cookie,
  }
}
