import { join } from 'node:path'
import type { Session } from '../../../src/stores/ports.ts'
import { SqliteSessionStore } from '../../../src/stores/sqlite/session-store.ts'
import { createRefreshTokenCodec } from '../../../src/tokens/refresh-token.ts'
import type { Bench } from '../harness/scenario.ts'
import { createAccountsOf } from '../scenarios/accounts.ts'
import { IssuerService } from '../scenarios/issuer-service.ts'
import { fillSqlite, newSession } from '../scenarios/sessions.ts'

/** What an issuer is by default, and what its tokens say. */
export const identity = { issuer: 'http://localhost:4000', audience: 'http://localhost' }

/** So many revocations are written at once. */
const chunkLength = 1_000

/** An issuer with sessions on SQLite, some of which have ended. */
export interface SessionIssuer {
  readonly service: IssuerService
  /** Access tokens of the sessions that go on, by a refresh of each. */
  accessTokens(url: string): Promise<string[]>
}

export async function sessionIssuer(
  bench: Bench,
  name: string,
  settings: Readonly<Record<string, string>>,
  counts: { readonly live: number; readonly ended?: number; readonly kept_s?: number },
): Promise<SessionIssuer> {
  const service = await IssuerService.create(bench, settings, name)
  const { live, ended = 0, kept_s = 0 } = counts
  const sessions = Array.from({ length: live + ended }, newSession)
  await fillSqlite(sessions, service.template)
  await createAccountsOf(
    sessions.map(({ sub }) => sub),
    service.template,
  )
  await end(sessions.slice(live), join(service.template, '.gatepass/sessions.db'), kept_s)
  const codec = createRefreshTokenCodec([Buffer.from(service.secret)])
  const tokens = sessions.slice(0, live).map((session) => codec.mint(session))
  return {
    service,
    async accessTokens(url) {
      const accessTokens: string[] = []
      for (const token of tokens) accessTokens.push(await refresh(url, token))
      return accessTokens
    },
  }
}

/** As sign-outs would, each with its entry in the log. */
async function end(sessions: readonly Session[], path: string, kept_s: number): Promise<void> {
  const store = new SqliteSessionStore(path)
  for (let start = 0; start < sessions.length; start += chunkLength) {
    const chunk = sessions.slice(start, start + chunkLength)
    await Promise.all(chunk.map(({ sid }) => store.revoke(sid, Date.now(), 1000 * kept_s)))
  }
  await store.close()
}

async function refresh(url: string, refresh_token: string): Promise<string> {
  const response = await fetch(`${url}/refresh`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ refresh_token }),
  })
  if (!response.ok) throw new Error(`a refresh was answered ${response.status}`)
  return ((await response.json()) as { access_token: string }).access_token
}
