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
}

export type Traffic = FixedTraffic | RefreshTraffic

/** Sets up one connection to send its part of the traffic. */
export type SetUp = (client: Client) => void

/** @param fail told when an answer of status 200 is wrong all the same */
export function createSetUp(
  traffic: Traffic,
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
      const { tokens } = traffic
      const share = Math.floor(tokens.length / connections)
      refreshInTurn(client, tokens.slice(connection * share, (connection + 1) * share), fail)
    }
    connection += 1
  }
}

function refreshInTurn(client: Client, tokens: string[], fail: (reason: string) => void): void {
  let position = 0
  const bodyOf = () => JSON.stringify({ refresh_token: tokens[position] })
  client.setRequests([
    {
      method: 'POST',
      path: '/refresh',
      headers: { 'content-type': 'application/json' },
      body: bodyOf(),
      onResponse(status, body) {
        if (status !== 200) return
        const { refresh_token: successor } = JSON.parse(body) as { refresh_token: string }
        if (!isNext(tokens[position] ?? '', successor)) fail('a refresh token was not rotated')
        tokens[position] = successor
        position = (position + 1) % tokens.length
        client.setBody(bodyOf())
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
