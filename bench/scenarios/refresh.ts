import { decodeJwt, decodeProtectedHeader } from 'jose'
import { isInMemory } from '../harness/machine.ts'
import { type Server, startServer } from '../harness/processes.ts'
import type { Bench, Scenario, Subject } from '../harness/scenario.ts'
import { served } from '../harness/subjects.ts'
import { type Dialect, initialToken, refreshRequest } from '../harness/traffic.ts'
import { createIssuer, type IssuerSpec, loginRequests, signIn } from '../issuer.ts'
import { startOnRedis } from '../stores.ts'

/** Enough sessions that the rows of one commit lie on different pages. */
const sessions = 8_192
export const signing = 'bare route that signs'
/** As long as the response to a refresh. */
const answer = JSON.stringify({ access_token: 'a'.repeat(850) })
/** A refresh inside the grace period would not rotate the token. */
const settings = { GATEPASS_GRACE_S: '0' }

export const refresh: Scenario = {
  name: 'refresh',
  title: 'a new access token and the next refresh token, by the store of the sessions',
  async ours(bench) {
    if (isInMemory(bench.scratch)) {
      throw new Error('A flush to memory costs nothing: set TMPDIR to a folder on a disk.')
    }
    const subjects: Subject[] = []
    for (const store of ['SQLite', 'Redis', 'Postgres'] as const) {
      const spec = { name: `refresh-${store}`, store, users: sessions, hash: 'least' } as const
      const { start, tokens } = await issuerWithSessions(spec, sessions, bench)
      const [checked = '', ...others] = tokens
      subjects.push(rotating(store, { start, dialect: 'gatepass', checked, tokens: others }, bench))
    }
    return subjects
  },
  async rivals(bench) {
    const tokens = Array.from({ length: sessions }, (_, n) => initialToken(n + 1))
    const common = { checked: initialToken(0), tokens }
    const count = String(tokens.length + 1)
    const startByHand = () => startOnRedis('programs/by-hand', [count], bench)
    const byHand = { ...common, dialect: 'opaque', start: startByHand } as const
    const startOidcProvider = () => startServer('programs/oidc-provider', [count], bench)
    const oidc = { ...common, dialect: 'oauth', start: startOidcProvider } as const
    const traffic = () => ({ kind: 'requests', requests: [refreshRequest('opaque', 'a')] }) as const
    const startSigning = () => startServer('programs/fastify', [signing, '{}', answer], bench)
    return [
      rotating('by hand with fast-jwt, on Redis', byHand, bench),
      rotating('oidc-provider, in memory', oidc, bench),
      served({ name: signing, start: startSigning, traffic }, bench),
    ]
  },
}

export async function issuerWithSessions(spec: IssuerSpec, count: number, bench: Bench) {
  let tokens: string[] = []
  const { start } = await createIssuer({ ...spec, settings }, bench, async ({ url }) => {
    tokens = await signIn(url, count)
  })
  return { start, tokens }
}

interface Rotating {
  start(): Promise<Server>
  readonly dialect: Dialect
  /** The refresh token of a session outside the load. */
  readonly checked: string
  readonly tokens: readonly string[]
}

export function rotating(
  name: string,
  { start, dialect, checked, tokens }: Rotating,
  bench: Bench,
) {
  const check = (url: string) => checkRotation(url, dialect, checked)
  const traffic = () => ({ kind: 'refresh', dialect, tokens }) as const
  return served({ name, limit: signing, start, check, traffic }, bench)
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
    throw new Error('an access token of another kind was given')
  }
  // The forged token first, because a repeated token may end its session.
  const forged = `${refresh_token.slice(0, -4)}AAAA`
  if ((await ask(forged)).isGood) throw new Error('a forged refresh token is accepted')
  if (!(await ask(refresh_token)).isGood) throw new Error('the next refresh token is refused')
  if ((await ask(token)).isGood) throw new Error('a refresh token is accepted twice')
}

/** The refreshes of 300,000 devices, far below the capacity of a core. */
const perSecond = 1_000

export const refreshBesideLogins: Scenario = {
  name: 'refresh-beside-logins',
  title: 'refreshes alone, and while logins keep the hashing busy on the same core',
  async ours(bench) {
    const users = 4_096
    const spec = { name: 'beside-logins', store: 'SQLite', users, hash: 'default' } as const
    const { start, tokens } = await issuerWithSessions(spec, 256, bench)
    const requests = loginRequests(users)
    const beside = {
      traffic: () => ({ kind: 'requests', requests }) as const,
      // Enough logins that one always waits. A login that would wait too long is refused.
      connections: 8,
      refusals: [503],
    }
    const traffic = () => ({ kind: 'refresh', dialect: 'gatepass', tokens }) as const
    const common = { start, traffic }
    return [
      { ...common, name: 'paced', perSecond },
      { ...common, name: 'paced, with logins', perSecond, beside },
      { ...common, name: 'full' },
      { ...common, name: 'full, with logins', beside },
    ].map((subject) => served(subject, bench))
  },
}
