import type { Answer, Call, ClientScheme, Session } from '../system.ts'

/** How clients of the rivals sign in and stay signed in. */

/** A cookie of the server for as long as the session lasts. */
export function cookieScheme(canSignOutEverywhere: boolean): ClientScheme {
  return {
    login: async (ask, { name, password }) => {
      const answer = await ask(post('/login', {}, { username: name, password }))
      if (answer.status !== 200) return answer
      const set = [answer.headers['set-cookie'] ?? []].flat()
      const cookie = set.map((one) => one.split(';')[0]).join('; ')
      return { headers: { cookie }, life_ms: null, secret: '' }
    },
    logout: (ask, { headers }) => ask(post('/logout', headers)),
    ...(canSignOutEverywhere && {
      signOutEverywhere: (ask, { headers }) => ask(post('/logout/all', headers)),
    }),
  }
}

/** An opaque token for as long as the session lasts. */
export const opaqueTokenScheme: ClientScheme = {
  login: async (ask, { name, password }) =>
    sessionOf(await ask(post('/login', {}, { username: name, password })), false),
  logout: (ask, { headers }) => ask(post('/logout', headers)),
  signOutEverywhere: (ask, { headers }) => ask(post('/logout/all', headers)),
}

/** A short access token, and a refresh token that works once. */
export const refreshTokenScheme: ClientScheme = {
  login: async (ask, { name, password }) =>
    sessionOf(await ask(post('/login', {}, { username: name, password })), true),
  // Repeated when nobody knows: a token that was used up by then is lost either way.
  refresh: async (ask, { secret }) =>
    sessionOf(await ask(post('/refresh', {}, { refresh_token: secret })), true),
  logout: (ask, { secret }) => ask(post('/logout', {}, { refresh_token: secret })),
  signOutEverywhere: (ask, { headers }) => ask(post('/logout/all', headers)),
}

interface TokenAnswer {
  readonly access_token: string
  readonly expires_in: number
  readonly refresh_token?: string
}

function sessionOf(answer: Answer, isRenewed: boolean): Session | Answer {
  if (answer.status !== 200) return answer
  const { access_token, expires_in, refresh_token = '' } = answer.body as TokenAnswer
  return {
    headers: { authorization: `Bearer ${access_token}` },
    life_ms: isRenewed ? expires_in * 1000 : null,
    secret: refresh_token,
  }
}

function post(path: string, headers: Readonly<Record<string, string>>, body?: unknown): Call {
  return { method: 'POST', path, headers, body, isRepeatable: true }
}
