import type { Client, Request } from 'autocannon'
import t from 'tap'
import { createSetUp } from '../../bench/old/load/traffic.ts'

/** A connection that sends nothing, and tells what it would send. */
class FakeClient implements Client {
  requests: readonly Request[] = []
  body = ''

  setRequests(requests: readonly Request[]): void {
    this.requests = requests
    this.body = requests[0]?.body ?? ''
  }

  setBody(body: string): void {
    this.body = body
  }

  answer(status: number, refresh_token: string): void {
    this.requests[0]?.onResponse?.(status, JSON.stringify({ refresh_token }))
  }
}

function connect(count: number, setUp: (client: Client) => void): FakeClient[] {
  return Array.from({ length: count }, () => {
    const client = new FakeClient()
    setUp(client)
    return client
  })
}

t.test('connections send the same requests, each from another one on', async (t) => {
  const requests = ['/0', '/1', '/2', '/3'].map((path) => ({ method: 'GET', path }))
  const clients = connect(2, createSetUp({ kind: 'fixed', requests }, 2, t.fail))
  t.same(
    clients.map((client) => client.requests.map(({ path }) => path)),
    [
      ['/0', '/1', '/2', '/3'],
      ['/2', '/3', '/0', '/1'],
    ],
  )
})

t.test('a connection refreshes its own sessions in turn, with the newest token', async (t) => {
  const tokens = ['a', 'b', 'c', 'd'].map((sid) => `gpr_${sid}.0.mac`)
  const [first, second] = connect(2, createSetUp({ kind: 'refresh', tokens }, 2, t.fail))
  t.equal(first?.body, '{"refresh_token":"gpr_a.0.mac"}')
  t.equal(second?.body, '{"refresh_token":"gpr_c.0.mac"}')
  first?.answer(200, 'gpr_a.1.mac')
  t.equal(first?.body, '{"refresh_token":"gpr_b.0.mac"}')
  first?.answer(200, 'gpr_b.1.mac')
  t.equal(first?.body, '{"refresh_token":"gpr_a.1.mac"}')
})

t.test('a token that is not the next one of its session fails the run', async (t) => {
  for (const wrong of ['gpr_a.0.mac', 'gpr_a.2.mac', 'gpr_b.1.mac']) {
    const reasons: string[] = []
    const setUp = createSetUp({ kind: 'refresh', tokens: ['gpr_a.0.mac'] }, 1, (reason) =>
      reasons.push(reason),
    )
    const [client] = connect(1, setUp)
    client?.answer(200, wrong)
    t.same(reasons, ['a refresh token was not rotated'], wrong)
  }
})

t.test('other servers are asked as they want to be, and give any other token', async (t) => {
  const asked = {
    plain: '{"refresh_token":"a"}',
    oauth: 'grant_type=refresh_token&client_id=spa&refresh_token=a',
  }
  for (const dialect of ['plain', 'oauth'] as const) {
    const reasons: string[] = []
    const traffic = { kind: 'refresh', dialect, tokens: ['a'] } as const
    const [client] = connect(
      1,
      createSetUp(traffic, 1, (reason) => reasons.push(reason)),
    )
    t.equal(client?.body, asked[dialect])
    client?.answer(200, 'b')
    t.same(reasons, [])
    client?.answer(200, 'b')
    t.same(reasons, ['a refresh token was not rotated'], dialect)
  }
})
