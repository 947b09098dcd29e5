import { decodeJwt, decodeProtectedHeader } from 'jose'
import { type Server, startServer } from '../harness/processes.ts'
import type { Bench, Scenario, Subject } from '../harness/scenario.ts'
import { serverSubject } from '../harness/subjects.ts'
import { type Dialect, initialTokens, refreshRequest } from '../harness/traffic.ts'
import { createIssuer, type IssuerSpec, signIn } from '../issuer.ts'
import { startOnRedis } from '../stores.ts'

/** Several sessions for each connection. The scenario scale measures the cost of many sessions. */
export const sessions = 1_024
export const signing = 'bare route that signs'
const byHand = 'by hand with fast-jwt, on Redis'
/** As long as the response to a refresh. */
const answer = JSON.stringify({ access_token: 'a'.repeat(850) })

export const refresh: Scenario = {
  name: 'refresh',
  title: 'a refresh, by the store of the sessions',
  async ours(bench) {
    return (['SQLite', 'Redis', 'Postgres'] as const).map((store) => {
      const issuer = issuerWithSessions({ name: `refresh-${store}`, store }, bench)
      return refreshSubject(store, { ...issuer, dialect: 'json' }, [byHand, signing], bench)
    })
  },
  async rivals(bench) {
    const tokens = initialTokens(sessions)
    const count = String(sessions)
    const own = { start: () => startOnRedis('programs/by-hand', [count], bench), tokens }
    const rival = { start: () => startServer('programs/oidc-provider', [count], bench), tokens }
    return [
      refreshSubject(byHand, { ...own, dialect: 'json' }, [signing], bench),
      refreshSubject('oidc-provider', { ...rival, dialect: 'oauth' }, [byHand], bench),
      signingSubject(signing, answer, bench),
    ]
  },
}

/** A limit: a route that signs once and answers with a text. */
export function signingSubject(name: string, text: string, bench: Bench): Subject {
  const start = () => startServer('programs/fastify', [name, '{}', text], bench)
  const traffic = () => ({ requests: [refreshRequest('json', 'a')] })
  return serverSubject({ name, start, traffic }, bench)
}

/** @returns an issuer, and the refresh tokens of its sessions; its first start creates both */
export function issuerWithSessions(spec: Omit<IssuerSpec, 'users'>, bench: Bench) {
  const tokens: string[] = []
  // A refresh inside the grace period would not rotate the token.
  const settings = { ...spec.settings, GATEPASS_GRACE_S: '0' }
  const { start } = createIssuer({ ...spec, users: sessions, settings }, bench, async ({ url }) => {
    tokens.push(...(await signIn(url, sessions)))
  })
  return { start, tokens }
}

interface Rotating {
  start(): Promise<Server>
  readonly dialect: Dialect
  /** A refresh token of each session. The first one is checked before the load. */
  readonly tokens: readonly string[]
}

export function refreshSubject(
  name: string,
  { start, dialect, tokens }: Rotating,
  comparedWith: readonly string[],
  bench: Bench,
) {
  const check = (url: string) => checkRotation(url, dialect, tokens[0] ?? '')
  const traffic = () => ({ dialect, tokens: tokens.slice(1) })
  return serverSubject({ name, comparedWith, start, check, traffic }, bench)
}

/**
 * Checks that a refresh token is replaced, that replaced and forged ones are refused, and that the access
 * token is signed with ES256.
 */
async function checkRotation(url: string, dialect: Dialect, token: string): Promise<void> {
  const ask = async (sent: string) => {
    const { path, ...request } = refreshRequest(dialect, sent)
    const response = await fetch(`${url}${path}`, request)
    const body = (await response.json()) as Record<string, string>
    return { isGood: response.ok, body }
  }
  const first = await ask(token)
  if (!first.isGood) throw new Error(`a refresh was refused: ${JSON.stringify(first.body)}`)
  const { access_token = '', refresh_token = '' } = first.body
  const { sub } = decodeJwt(access_token)
  if (decodeProtectedHeader(access_token).alg !== 'ES256' || sub === undefined) {
    throw new Error('the access token has another alg, or no sub')
  }
  // The forged token first, because a reused token may end its session.
  const forged = `${refresh_token.slice(0, -4)}AAAA`
  if ((await ask(forged)).isGood) throw new Error('a forged refresh token is accepted')
  if (!(await ask(refresh_token)).isGood) throw new Error('the next refresh token is refused')
  if ((await ask(token)).isGood) throw new Error('a refresh token is accepted twice')
}
