import { inspect } from 'node:util'
import t from 'tap'
import { freePort } from '../../../scripts/free-port.ts'
import { isGatepassError } from '../../../src/core/errors.ts'
import { maxResponseBytes } from '../../../src/stores/webhook/client.ts'
import { account, someHash } from '../../support/accounts.ts'
import { FakeClock } from '../../support/clock.ts'
import { startTcpServer } from '../../support/tcp-server.ts'
import {
  type Handler,
  openStore,
  otherSecret,
  secret,
  signed,
  startUserBase,
  TestUserBase,
} from './support.ts'

/** A deadline that a call without a full response reaches. */
const timeoutMs = 150

const none = { account: null }
/** A response to another message. */
const earlierAnswer: Handler = signed(none, { id: 'msg_earlier' })

/** Wrong responses of a user base, and the error of each. */
const misbehaviours: Record<string, { answer: Handler; message: RegExp }> = {
  'is silent': { answer: () => {}, message: /no full response within 150 ms/ },
  'never ends its header': {
    answer: (_request, response) => response.socket?.write('HTTP/1.1 200 OK\r\n'),
    message: /no full response/,
  },
  'is slow with its body': {
    answer: (_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' }).write('{')
      const timer = setInterval(() => response.write(' '), 20)
      response.on('close', () => clearInterval(timer))
    },
    message: /no full response/,
  },
  'never ends its body': {
    answer: (_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      const more = () => {
        while (response.write(' '.repeat(16 * 1024)));
      }
      response.on('drain', more)
      more()
    },
    message: new RegExp(`longer than ${maxResponseBytes} bytes`),
  },
  'breaks off': {
    answer: (_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': '100' })
      response.write('{', () => response.destroy())
    },
    message: /the connection failed/,
  },
  'closes the connection': {
    answer: (request) => request.socket.destroy(),
    message: /the connection failed \([A-Z_]+\)/,
  },
  'does not speak HTTP': {
    answer: (_request, response) => response.socket?.end(`hello ${someHash}\r\n\r\n`),
    message: /the connection failed \(HTTPParserError\)/,
  },
  'has an error': { answer: signed(none, { status: 500 }), message: /status 500/ },
  'does not know us': { answer: signed(none, { status: 401 }), message: /status 401/ },
  'is overloaded': { answer: signed(none, { status: 503 }), message: /status 503/ },
  'says that nothing came of it': { answer: signed(none, { status: 204 }), message: /status 204/ },
  'sends us elsewhere': {
    answer: signed(none, { status: 307, headers: { location: '/elsewhere' } }),
    message: /status 307/,
  },
  'sends a page': {
    answer: signed(none, { headers: { 'content-type': 'text/html' } }),
    message: /type application\/json/,
  },
  'sends nothing': { answer: signed(''), message: /JSON/ },
  'sends garbage': { answer: signed(`{"account": "${someHash}`), message: /JSON/ },
  'sends a member twice': {
    answer: signed('{"account": null, "account": null}'),
    message: /JSON/,
  },
  'sends something else': { answer: signed({ users: [] }), message: /does not match its schema/ },
  'does not sign': {
    answer: signed(none, { headers: { 'webhook-signature': '' } }),
    message: /not signed/,
  },
  'signs with another secret': {
    answer: signed(none, { secret: otherSecret }),
    message: /not signed/,
  },
  'sends an answer that it gave before': { answer: earlierAnswer, message: /not signed/ },
  'sends us back what we sent': {
    answer: (request, response) => {
      const names = ['webhook-id', 'webhook-timestamp', 'webhook-signature', 'content-type']
      const headers = names.map((name) => [name, String(request.headers[name])])
      response.writeHead(200, Object.fromEntries(headers)).end(request.body)
    },
    message: /does not match its schema/,
  },
}

for (const [what, { answer, message }] of Object.entries(misbehaviours)) {
  t.test(`a user base that ${what} is unavailable`, async (t) => {
    const userBase = await TestUserBase.start(t, answer)
    // Other responses may be slow on a loaded machine.
    const isEndless = message.source.includes('no full response')
    const store = openStore(t, userBase.url, { timeoutMs: isEndless ? timeoutMs : 60_000 })
    const error = await store.findByLoginName('ada').catch((error: unknown) => error)
    t.match(error, { code: 'store_unavailable', status: 503, retryAfterSeconds: 1, message })
    t.notOk(inspect(error, { depth: 9, showHidden: true }).includes(someHash))
    const { requests } = userBase
    t.ok(
      requests.every(({ body }) => body.includes('accounts.find')),
      'nothing else was sent',
    )
    const isRepeated = /status 503|connection/.test(message.source)
    // On a loaded machine the short deadline may pass before the message arrives.
    const attempts = isEndless ? Math.max(1, requests.length) : requests.length
    t.equal(attempts, isRepeated ? 2 : 1, 'only an outage is worth another attempt')
  })
}

t.test('a user base that is unreachable, or does not speak TLS, is unavailable', async (t) => {
  const port = await freePort()
  const unavailable = {
    code: 'store_unavailable',
    message: /the connection failed \(ECONNREFUSED\)/,
  }
  await t.rejects(openStore(t, `http://127.0.0.1:${port}/`).ping(), unavailable)
  const blocked = { message: /the connection failed \(bad port\)/ }
  await t.rejects(openStore(t, 'http://127.0.0.1:6000/').ping(), blocked)
  const { url } = await startUserBase(t)
  const overTls = openStore(t, url.replace('http:', 'https:'))
  await t.rejects(overTls.ping(), { code: 'store_unavailable', message: /the connection failed/ })
})

t.test('a user base that accepts and stays silent is unavailable', async (t) => {
  const { port } = await startTcpServer(t)
  const store = openStore(t, `http://127.0.0.1:${port}/`, { timeoutMs })
  await t.rejects(store.findBySub('user-1'), { message: /no full response within 150 ms/ })
  await t.rejects(store.setDisabled('user-1', true, 1), { message: /no full response/ })
})

t.test('a user base whose clock differs too much is unavailable', async (t) => {
  const clock = new FakeClock(Date.now())
  const { url, lines } = await startUserBase(t)
  const store = openStore(t, url, { clock })
  clock.advance_s(295)
  await store.ping()
  clock.advance_s(200)
  await t.rejects(store.ping(), { code: 'store_unavailable', message: /status 401/ })
  t.equal(lines.at(-1)?.status, 401)
})

t.test('no error and no inspected store contains a secret or a hash', async (t) => {
  const userBase = await TestUserBase.start(t, signed({}, { status: 500 }))
  const store = openStore(t, userBase.url)
  const alice = account()
  const errors = await Promise.all(
    [
      () => store.create([alice]),
      () => store.setPasswordHash(alice.sub, someHash, 1, someHash),
      () => store.findBySub(alice.sub),
    ].map((call) => call().catch((error: unknown) => error)),
  )
  t.ok(errors.every((error) => isGatepassError(error, 'store_unavailable')))
  const shown = inspect([errors, store], { depth: 9, showHidden: true }) + JSON.stringify(errors)
  const key = secret.slice('whsec_'.length)
  t.notOk([someHash, secret, key, alice.sub].some((text) => shown.includes(text)))
})
