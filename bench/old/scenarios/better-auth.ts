import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { randomId } from '../../../src/core/secrets.ts'
import type { Bench } from '../harness/scenario.ts'
import type { ServerSpec } from '../harness/server.ts'
import { expireSession, sessionCookieOf } from '../peers/better-auth-users.ts'
import { body } from './guarded-traffic.ts'

/** Its public address, where a browser says that a sign-in comes from. */
export const origin = 'http://127.0.0.1:3000'
export const password = 'correct horse battery staple'

/** better-auth on a fresh database, with so many users, each with one session. */
export class BetterAuth {
  readonly #secret = `${randomId()}${randomId()}`
  readonly #bench: Bench
  readonly #userCount: number
  #file = ''

  constructor(userCount: number, bench: Bench) {
    this.#bench = bench
    this.#userCount = userCount
  }

  spec(): ServerSpec {
    this.#file = join(mkdtempSync(join(this.#bench.scratch, 'better-auth-')), 'auth.db')
    return {
      name: 'better-auth',
      module: new URL('../peers/better-auth.ts', import.meta.url),
      args: [body, this.#file, this.#secret, origin, String(this.#userCount), password],
    }
  }

  cookieOf(n: number): string {
    return sessionCookieOf(n, this.#secret)
  }

  /** Both cookies of a session, as a browser has them after one look at it. */
  async cachedCookieOf(n: number, url: string): Promise<string> {
    const headers = { cookie: this.cookieOf(n) }
    const response = await fetch(`${url}/api/auth/get-session`, { headers })
    const data = response.headers.getSetCookie().map((line) => line.split(';')[0] ?? '')
    const cached = data.find((one) => one.startsWith('better-auth.session_data='))
    if (cached === undefined) throw new Error('better-auth caches no session')
    return `${headers.cookie}; ${cached}`
  }

  /** Ends the session of user `n` by time, behind its back. */
  expire(n: number): void {
    const database = new DatabaseSync(this.#file)
    expireSession(database, n)
    database.close()
  }
}
