import { randomUUID } from 'node:crypto'
import t from 'tap'
import { SeenIds } from '../../../examples/user-base/seen-ids.ts'
import { sign } from '../../../examples/user-base/signature.ts'
import { createUserBase } from '../../../examples/user-base/user-base.ts'
import { newUser, Users } from '../../../examples/user-base/users.ts'
import { parsePasswordHash } from '../../../src/issuer/passwords/password-hash.ts'
import { otherSecret, secret, startUserBase } from './support.ts'

interface Sent {
  readonly id?: string
  readonly atMs?: number
  readonly secret?: string
  readonly method?: string
}

/** Sends a message of any content to the sample server. */
function send(url: string, text: string, sent: Sent = {}): Promise<Response> {
  const body = Buffer.from(text)
  const { id = randomUUID(), atMs = Date.now(), method = 'POST' } = sent
  const timestamp = String(Math.floor(atMs / 1000))
  return fetch(url, {
    method,
    headers: {
      'webhook-id': id,
      'webhook-timestamp': timestamp,
      'webhook-signature': sign({ id, timestamp, body }, sent.secret ?? secret),
    },
    ...(method === 'POST' && { body }),
  })
}

const ping = '{"type":"ping","data":{}}'

t.test('responds to a signed message, and signs its response', async (t) => {
  const { url } = await startUserBase(t)
  const response = await send(url, ping, { id: 'msg_1' })
  t.equal(response.status, 200)
  t.equal(response.headers.get('webhook-id'), 'msg_1')
  const timestamp = response.headers.get('webhook-timestamp') ?? ''
  const body = Buffer.from(await response.arrayBuffer())
  const expected = sign({ id: 'msg_1', timestamp, body }, secret)
  t.equal(response.headers.get('webhook-signature'), expected)
})

t.test('a message is accepted once', async (t) => {
  let nowMs = Date.UTC(2030, 0, 1)
  const sentAtMs = nowMs
  const { url } = await startUserBase(t, { nowMs: () => nowMs })
  const status = async () => (await send(url, ping, { id: 'msg_1', atMs: sentAtMs })).status
  t.equal(await status(), 200)
  t.equal(await status(), 409)
  nowMs += 300_000
  t.equal(await status(), 409, 'as long as its timestamp is good')
  nowMs += 1_000
  t.equal(await status(), 401)
})

t.test('a message with a timestamp ahead is accepted once', async (t) => {
  let nowMs = Date.UTC(2030, 0, 1)
  const aheadMs = nowMs + 300_000
  const { url } = await startUserBase(t, { nowMs: () => nowMs })
  const status = async () => (await send(url, ping, { id: 'msg_1', atMs: aheadMs })).status
  t.equal(await status(), 200)
  nowMs += 599_000
  t.equal(await status(), 409)
  nowMs += 2_000
  t.equal(await status(), 401)
})

t.test('beyond its limit of message ids it accepts nothing', async (t) => {
  const seen = new SeenIds(1_000, 2)
  t.strictSame([seen.add('a', 0), seen.add('b', 500), seen.add('c', 600)], ['new', 'new', 'full'])
  t.equal(seen.add('a', 999), 'seen')
  t.equal(seen.add('c', 1_000), 'new', 'the oldest is forgotten in its time')
  t.equal(seen.add('b', 1_000), 'seen')
  const { url } = await startUserBase(t, { seenMax: 1 })
  t.equal((await send(url, ping)).status, 200)
  t.equal((await send(url, ping)).status, 503)
})

t.test('an unsigned message costs no memory', async (t) => {
  const { url } = await startUserBase(t, { seenMax: 1 })
  t.equal((await send(url, ping, { secret: otherSecret })).status, 401)
  t.equal((await send(url, ping)).status, 200)
})

t.test('refuses everything else', async (t) => {
  const { url, lines } = await startUserBase(t)
  t.equal((await fetch(url)).status, 405)
  t.equal((await fetch(url, { method: 'POST', body: ping })).status, 401)
  t.equal((await send(url, ' '.repeat(1024 * 1024 + 1))).status, 413)
  t.equal((await send(url, '{')).status, 500)
  t.equal((await send(url, '{"type":"constructor"}')).status, 501)
  t.equal((await send(url, '{"type":"accounts.delete"}')).status, 501)
  t.equal(lines.length, 6)
})

t.test('a secret that anybody could guess prevents the start', async (t) => {
  for (const weak of ['', 'whsec_', `whsec_${secret.slice(-8)}`, secret.slice('whsec_'.length)]) {
    t.throws(() => createUserBase({ users: new Users(), secrets: [secret, weak] }), /whsec_/, weak)
  }
})

t.test('its users have hashes that Gatepass supports', async (t) => {
  const { password_hash } = newUser('ada', 'correct horse battery', {})
  t.match(parsePasswordHash(password_hash), { parameters: { scheme: 'scrypt', log2Cost: 14 } })
})
