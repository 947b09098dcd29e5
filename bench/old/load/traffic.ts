import type { Client, Request } from 'autocannon'

/** The same requests over and over; each connection begins at another one. */
export interface FixedTraffic {
  readonly kind: 'fixed'
  readonly requests: readonly Request[]
}

/**
 * Refreshes: a connection owns an equal share of the sessions, refreshes one after the other, and
 * comes back to each with the token that it got there before.
 */
export interface RefreshTraffic {
  readonly kind: 'refresh'
  /** The refresh token that each session starts with. */
  readonly tokens: readonly string[]
  /** How the server is asked; as Gatepass is, unless it says otherwise. */
  readonly dialect?: keyof typeof dialects
}

/** The client that refreshes in the dialect of OAuth. */
export const oauthClientId = 'spa'

/** One GET with each of many tokens in turn, whichever connection is free. */
export interface TokenTraffic {
  readonly kind: 'tokens'
  readonly path: string
  /** What goes before a token in the header of a request: `Authorization: Bearer `. */
  readonly header: string
  /** The tokens, one a line: too many for a message. */
  readonly file: string
  /** Whether the time counts from the first one on, as for a server that knows none of them again. */
  readonly countsAtOnce?: boolean
}

export type Traffic = FixedTraffic | RefreshTraffic | TokenTraffic

/** Sets up one connection to send its part of the traffic. */
export type SetUp = (client: Client) => void

/** @param fail told when an answer of status 200 is wrong all the same */
export function createSetUp(
  traffic: FixedTraffic | RefreshTraffic,
  connections: number,
  fail: (reason: string) => void,
): SetUp {
  let connection = 0
  return (client) => {
    const start = (position: number, count: number) =>
      Math.floor((position * count) / connections) % count
    if (traffic.kind === 'fixed') {
      const first = start(connection, traffic.requests.length)
      client.setRequests([...traffic.requests.slice(first), ...traffic.requests.slice(0, first)])
    } else {
      const { tokens, dialect = 'gatepass' } = traffic
      const share = Math.floor(tokens.length / connections)
      const own = tokens.slice(connection * share, (connection + 1) * share)
      refreshInTurn(client, dialects[dialect], own, fail)
    }
    connection += 1
  }
}

/** How servers are asked for a refresh, and what the next token has to be. */
const dialects = {
  gatepass: { path: '/refresh', contentType: 'application/json', bodyOf: inJson, isNext },
  /** A service of one's own, with opaque tokens. */
  plain: { path: '/refresh', contentType: 'application/json', bodyOf: inJson, isNext: isAnother },
  /** The token endpoint of RFC 6749 §6, by a public client. */
  oauth: {
    path: '/token',
    contentType: 'application/x-www-form-urlencoded',
    bodyOf: (token: string) =>
      `grant_type=refresh_token&client_id=${oauthClientId}&refresh_token=${encodeURIComponent(token)}`,
    isNext: isAnother,
  },
}

function inJson(token: string): string {
  return JSON.stringify({ refresh_token: token })
}

function refreshInTurn(
  client: Client,
  { path, contentType, bodyOf, isNext }: (typeof dialects)[keyof typeof dialects],
  tokens: string[],
  fail: (reason: string) => void,
): void {
  let position = 0
  const body = () => bodyOf(tokens[position] ?? '')
  client.setRequests([
    {
      method: 'POST',
      path,
      headers: { 'content-type': contentType },
      body: body(),
      onResponse(status, text) {
        if (status !== 200) return
        const { refresh_token: successor } = JSON.parse(text) as { refresh_token: string }
        if (!isNext(tokens[position] ?? '', successor)) fail('a refresh token was not rotated')
        tokens[position] = successor
        position = (position + 1) % tokens.length
        client.setBody(body())
      },
    },
  ])
}

/** Whether a token is of the same session (`gpr_<sid>.<generation>.<mac>`), one generation on. */
function isNext(token: string, successor: string): boolean {
  const [session, generation] = token.split('.')
  const [nextSession, nextGeneration] = successor.split('.')
  return session === nextSession && Number(nextGeneration) === Number(generation) + 1
}

function isAnother(token: string, successor: unknown): boolean {
  return typeof successor === 'string' && successor !== token
}
