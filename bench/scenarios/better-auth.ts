import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { decodeProtectedHeader } from 'jose'
import { type Server, startServer } from '../harness/processes.ts'
import type { Bench } from '../harness/scenario.ts'
import type { ServedSubject } from '../harness/subjects.ts'
import { headerTraffic } from '../tokens.ts'

/** better-auth as a rival: a JWT for a session, and a sign-in. */

/** Its public address, where a browser says that a sign-in comes from. */
const origin = 'http://127.0.0.1:3000'
const tokenPath = '/api/auth/token'

/** On a fresh database, with so many users, each with one session. */
function start(users: number, password: string, bench: Bench): Promise<Server> {
  const file = join(mkdtempSync(join(bench.scratch, 'better-auth-')), 'auth.db')
  return startServer('programs/better-auth', [origin, String(users), password, file], bench)
}

/** Its sessions have one token that lasts; it gives JWTs for other services. */
export function betterAuthToken(users: number, bench: Bench): Omit<ServedSubject, 'name'> {
  let cookies: readonly string[] = []
  return {
    start: () => start(users, 'unused password', bench),
    async check(url) {
      cookies = (await (await fetch(`${url}/cookies`)).json()) as string[]
      const ask = (cookie: string) => fetch(`${url}${tokenPath}`, { headers: { cookie } })
      const [cookie = ''] = cookies
      const { token } = (await (await ask(cookie)).json()) as { token: string }
      if (decodeProtectedHeader(token).alg !== 'ES256') throw new Error('it signs by other means')
      const forged = await ask(cookie.replace('initial-0-', 'initial-1-'))
      if (forged.status !== 401) throw new Error('a forged session is accepted')
    },
    traffic: () =>
      headerTraffic(
        cookies.map((cookie) => ({ cookie })),
        { path: tokenPath, isWarm: false },
      ),
  }
}

export function betterAuthLogin(users: number, password: string, bench: Bench) {
  const headers = { 'content-type': 'application/json', origin }
  const requests = Array.from({ length: users }, (_, n) => ({
    method: 'POST',
    path: '/api/auth/sign-in/email',
    headers,
    body: JSON.stringify({ email: `user-${n}@example.com`, password }),
  }))
  return { start: () => start(users, password, bench), requests }
}
