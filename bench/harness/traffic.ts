/** A request in the form of autocannon. */
export interface HttpRequest {
  readonly method: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  readonly onResponse?: (status: number, body: string) => void
}

export interface Connection {
  setRequests(requests: readonly HttpRequest[]): void
  /** Replaces the body of its current request. */
  setBody(body: string): void
}

/**
 * Requests, of which each connection repeats its share; or the refresh tokens of sessions, of which each
 * connection refreshes its share in turn, with the token of the previous response.
 */
export type Traffic =
  | { readonly requests: readonly HttpRequest[] }
  | { readonly dialect: Dialect; readonly tokens: readonly string[] }
export type Dialect = 'json' | 'gatepassOAuth' | 'oauth'

export const oauthClientId = 'spa'
/** A client with the grant `client_credentials`. Only rivals use its secret. */
export const serviceClient = { id: 'service', secret: 'a-secret-of-the-service-'.padEnd(43, '-') }

/** Returns the first refresh token of each session of a rival. */
export function initialTokens(count: number): string[] {
  return Array.from({ length: count }, (_, n) => `initial-${n}`.padEnd(43, '-'))
}

const formType = 'application/x-www-form-urlencoded'

/** RFC 6749 §4.4.2, by a client with a secret. */
export function clientCredentialsRequest(path: string, id: string, secret: string): HttpRequest {
  const basic = Buffer.from(`${id}:${secret}`).toString('base64')
  return {
    method: 'POST',
    path,
    headers: { 'content-type': formType, authorization: `Basic ${basic}` },
    body: 'grant_type=client_credentials',
  }
}

/** How a client refreshes: in JSON, or as a public client at a token endpoint (RFC 6749 §6). */
const dialects: Readonly<Record<Dialect, { path: string; client_id?: string }>> = {
  json: { path: '/refresh' },
  gatepassOAuth: { path: '/oauth/token', client_id: 'default' },
  oauth: { path: '/token', client_id: oauthClientId },
}

export function refreshRequest(dialect: Dialect, refresh_token: string) {
  const { path, client_id } = dialects[dialect]
  const form = { grant_type: 'refresh_token', client_id: client_id ?? '', refresh_token }
  const isForm = client_id !== undefined
  return {
    method: 'POST',
    path,
    headers: { 'content-type': isForm ? formType : 'application/json' },
    body: isForm ? String(new URLSearchParams(form)) : JSON.stringify({ refresh_token }),
  } satisfies HttpRequest
}

/**
 * Returns a function that gives each connection its share.
 * @param fail called if a response with status 200 is wrong
 */
export function prepareTraffic(
  traffic: Traffic,
  connections: number,
  fail: (reason: string) => void,
): (connection: Connection) => void {
  let count = 0
  const shareOf = <T>(all: readonly T[]) => share(all, count++, connections)
  if ('tokens' in traffic) {
    const { dialect, tokens } = traffic
    return (connection) => refreshInTurn(connection, dialect, shareOf(tokens), fail)
  }
  // A copy, because autocannon modifies the requests of a connection.
  return (connection) =>
    connection.setRequests(shareOf(traffic.requests).map((one) => ({ ...one })))
}

/** Returns an equal part of all items for a connection, at least one item. */
export function share<T>(all: readonly T[], connection: number, connections: number): T[] {
  const edge = (n: number) => Math.floor((n * all.length) / connections)
  const own = all.slice(edge(connection), edge(connection + 1))
  return own.length > 0 ? own : all.slice(connection % all.length, (connection % all.length) + 1)
}

function refreshInTurn(
  connection: Connection,
  dialect: Dialect,
  tokens: string[],
  fail: (reason: string) => void,
): void {
  let position = 0
  const current = () => tokens[position] ?? ''
  const onResponse = (status: number, text: string) => {
    if (status !== 200) return
    const { refresh_token: successor } = JSON.parse(text) as { refresh_token: string }
    if (successor === current()) fail('a refresh token was not rotated')
    tokens[position] = successor
    position = (position + 1) % tokens.length
    connection.setBody(refreshRequest(dialect, current()).body)
  }
  connection.setRequests([{ ...refreshRequest(dialect, current()), onResponse }])
}
