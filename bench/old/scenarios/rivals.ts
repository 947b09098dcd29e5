import { randomUUID } from 'node:crypto'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import { randomId } from '../../../src/core/secrets.ts'
import type { ServedSubject } from '../harness/subjects.ts'
import { oauthClientId } from '../load/traffic.ts'
import { initialToken } from '../servers/initial-token.ts'
import type { Store } from '../stores/daemon.ts'
import { withRedis } from '../stores/redis.ts'

/** What people use today, for the same work. */

const resource = 'https://api.example.com'
const scope = 'data:read data:write'
const issuerName = 'http://localhost:4000'
/** Ours is in database 0. */
const database = 1

/** The session that is refreshed to see that it works; the load leaves it alone. */
const checkedToken = initialToken(0)

export function handRolled(name: string, redis: Store, sessionCount: number): ServedSubject {
  const url = `${redis.url}/${database}`
  const module = new URL('../servers/hand-rolled.ts', import.meta.url)
  return {
    name,
    async server() {
      await fill(url, sessionCount + 1)
      return { name, module, args: [url] }
    },
    check: (address) => checkRotation(`${address}/refresh`, inJson, 401),
    traffic: () => ({ kind: 'refresh', dialect: 'plain', tokens: tokensOfLoad(sessionCount) }),
    store: redis,
  }
}

export function oidcProvider(name: string, sessionCount: number): ServedSubject {
  const module = new URL('../servers/oidc-provider.ts', import.meta.url)
  return {
    name,
    server: () => ({ name, module, args: [issuerName, resource, String(sessionCount + 1)] }),
    check: (address) => checkRotation(`${address}/token`, inForm, 400),
    traffic: () => ({ kind: 'refresh', dialect: 'oauth', tokens: tokensOfLoad(sessionCount) }),
  }
}

function tokensOfLoad(count: number): string[] {
  return Array.from({ length: count }, (_, n) => initialToken(n + 1))
}

/** Lays out the sessions as its logins would. */
async function fill(url: string, count: number): Promise<void> {
  const atOnce = 1_000
  await withRedis(url, async (redis) => {
    await redis.flushDb()
    for (let start = 0; start < count; start += atOnce) {
      const length = Math.min(atOnce, count - start)
      await Promise.all(
        Array.from({ length }, (_, n) => {
          const session = { sid: randomId(), sub: randomUUID(), clientId: 'default', scope }
          const value = JSON.stringify({ ...session, amr: ['pwd'], authTime: 1_700_000_000 })
          return redis.set(`rt:${initialToken(start + n)}`, value)
        }),
      )
    }
  })
}

type Form = (refreshToken: string) => { body: string; headers: Record<string, string> }

export const inJson: Form = (refresh_token) => ({
  body: JSON.stringify({ refresh_token }),
  headers: { 'content-type': 'application/json' },
})

const inForm: Form = (refresh_token) => ({
  body: `${new URLSearchParams({ grant_type: 'refresh_token', client_id: oauthClientId, refresh_token })}`,
  headers: { 'content-type': 'application/x-www-form-urlencoded' },
})

interface Answer {
  readonly access_token: string
  readonly refresh_token: string
}

/**
 * That a refresh token is replaced and then refused, as a forged one is, and that the access token is
 * signed by ES256.
 */
export async function checkRotation(
  url: string,
  form: Form,
  refusal: number,
  token = checkedToken,
): Promise<void> {
  const ask = (sent: string) => fetch(url, { method: 'POST', ...form(sent) })
  const first = await ask(token)
  if (!first.ok) throw new Error(`${url} answered ${first.status}: ${await first.text()}`)
  const { access_token, refresh_token } = (await first.json()) as Answer
  const { alg } = decodeProtectedHeader(access_token)
  const { scope: granted, sub } = decodeJwt(access_token)
  if (alg !== 'ES256' || granted !== scope || sub === undefined) {
    throw new Error(`${url} gave an access token of another kind`)
  }
  // First, as whoever sees a token twice may end its session.
  const forged = await ask(withOtherEnd(refresh_token))
  if (forged.status !== refusal) throw new Error(`${url} takes a refresh token that is forged`)
  const second = await ask(refresh_token)
  if (!second.ok) throw new Error(`${url} refuses the token that it gave`)
  const again = await ask(token)
  if (again.status !== refusal) throw new Error(`${url} takes a refresh token twice`)
}

function withOtherEnd(token: string): string {
  const end = token.endsWith('AAAA') ? 'BBBB' : 'AAAA'
  return token.slice(0, -end.length) + end
}
