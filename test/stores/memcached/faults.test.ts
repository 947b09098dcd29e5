import type { Socket } from 'node:net'
import t, { type Test } from 'tap'
import { freePort } from '../../../scripts/free-port.ts'
import { MemcachedDataStore } from '../../../src/stores/memcached/data-store.ts'
import { closedWith } from '../../support/closed-with.ts'
import { startMemcached, urlOf } from '../../support/memcached.ts'
import { lateMs } from '../../support/patience.ts'
import { startTcpServer } from '../../support/tcp-server.ts'
import { until } from '../../support/until.ts'
import { fieldsOf, newOwner, write } from '../data-store-contract.ts'
import { timeUntilUnavailable } from '../unavailable.ts'

const deadlineMs = 2_000

async function open(t: Test, url: string): Promise<MemcachedDataStore> {
  return closedWith(t, await MemcachedDataStore.open(url, { deadlineMs }))
}

/** A server that replies to the probe and then responds as a test says. */
async function startPeer(
  t: Test,
  answer: (socket: Socket, text: string) => void,
  probed = 'EN Oprobe',
): Promise<string> {
  const { port } = await startTcpServer(t, (socket) => {
    socket.on('data', (data) => {
      const text = data.toString('latin1')
      if (text === 'mg gp:none Oprobe\r\n') socket.write(`${probed}\r\n`)
      else answer(socket, text)
    })
  })
  return urlOf([port])
}

t.test('a killed node fails the calls of its owners in time, and no others', async (t) => {
  const nodes = [await startMemcached(t), await startMemcached(t), await startMemcached(t)]
  const store = await open(t, urlOf(nodes.map(({ port }) => port)))
  const writes = Array.from({ length: 60 }, () => write({ owner: newOwner() }))
  for (const one of writes) await store.write(one)
  const port = nodes[0]?.port as number
  const lost = Number(await nodes[0]?.stat('curr_items')) / 2
  await nodes[0]?.kill()
  let refused = 0
  const messages = new Set<string>()
  for (const one of writes) {
    const startMs = performance.now()
    const found = await store.read(one.owner, 'all').catch((error) => error)
    t.ok(performance.now() - startMs < deadlineMs + lateMs)
    if (found instanceof Map) t.same(found, fieldsOf(one))
    else {
      t.match(found, { code: 'store_unavailable', retryAfterSeconds: 1 })
      messages.add(found.message)
      refused += 1
    }
  }
  t.equal(refused, lost)
  t.ok(messages.has(`Memcached at 127.0.0.1:${port} failed.`), [...messages].join())

  await startMemcached(t, { port })
  let misses = 0
  for (const one of writes) {
    const read = async () => store.read(one.owner, 'all').catch(() => null)
    await until('it answers again', async () => (await read()) !== null)
    const found = await store.read(one.owner, 'all')
    if (found.size > 0) t.same(found, fieldsOf(one))
    else misses += 1
  }
  t.equal(misses, lost, 'it has forgotten all, and the others nothing')
})

t.test(
  'calls to a silent node fail at the deadline, then immediately, and succeed once it responds',
  async (t) => {
    const server = await startMemcached(t)
    const store = await open(t, server.url)
    const one = write({ owner: newOwner() })
    await store.write(one)
    server.freeze()
    const many = await Promise.all(
      Array.from({ length: 20 }, () => timeUntilUnavailable(t, store.read(one.owner, 'all'))),
    )
    for (const tookMs of many) {
      t.ok(tookMs > deadlineMs - 50 && tookMs < deadlineMs + lateMs, `${tookMs} ms`)
    }
    // After a late reply to the write, the node counts as slow, not silent.
    await until('calls are blocked', async () => {
      const more = await Promise.allSettled([1, 2, 3, 4, 5].map(() => store.read(one.owner, 'all')))
      return more.some((one) => one.status === 'rejected' && /not responding/.test(one.reason))
    })
    server.thaw()
    const read = async () => (await store.read(one.owner, 'all').catch(() => null)) !== null
    await until('it answers again', read)
    t.same(await store.read(one.owner, 'all'), fieldsOf(one))
  },
)

t.test('half a reply is no reply, and its rest is discarded', async (t) => {
  const tokensOf = (text: string) => [...text.matchAll(/ O(\w+)\r/g)].map(([, token]) => token)
  let first: Socket | null = null
  const url = await startPeer(t, (socket, text) => {
    const [field, index] = tokensOf(text)
    first ??= socket
    if (first === socket) socket.write(`EN O${field}\r\nVA 500 c1 O${index}\r\nlive`)
    else socket.write(`EN O${field}\r\nEN O${index}\r\n`)
  })
  const store = await open(t, url)
  const unanswered = async () => {
    const tookMs = await timeUntilUnavailable(t, store.read(newOwner(), ['a']))
    t.ok(tookMs < deadlineMs + lateMs, `${tookMs} ms`)
  }
  // The first half contains a reply. The connection is closed after a call without any reply.
  await unanswered()
  await unanswered()
  t.same(await store.read(newOwner(), ['a']), new Map())
})

t.test('a reply with the token of another command is refused', async (t) => {
  for (const wrong of [
    (token: string) => `VA 3 c1 O${token}x\r\nabc\r\n`,
    () => 'VA 3 c1\r\nabc\r\n',
    (token: string) => `HD O${token}\r\n`,
    () => 'ERROR\r\n',
    () => 'CLIENT_ERROR bad\r\n',
    () => 'nonsense\r\n',
    (token: string) => `EN O${token}\r\nEN O${token}\r\nEN O${token}\r\n`,
  ]) {
    let closed = 0
    const url = await startPeer(t, (socket, text) => {
      socket.once('close', () => {
        closed += 1
      })
      const token = / O(\w+)\r/.exec(text)?.[1] ?? ''
      socket.write(wrong(token))
    })
    const store = await open(t, url)
    await t.rejects(store.read(newOwner(), ['a']), { cause: { cause: { name: 'ProtocolError' } } })
    await until('the connection is given up', () => closed > 0)
  }
})

t.test('a memcached before 1.6.18 prevents the start', async (t) => {
  // Those of 1.6.17 and 1.5.
  for (const probed of ['EN', 'ERROR']) {
    const url = await startPeer(t, () => {}, probed)
    const opening = MemcachedDataStore.open(url, { deadlineMs })
    await t.rejects(opening, { code: 'store_unavailable', detail: /1\.6\.18 or later .*:\d+/ })
  }
})

t.test('an unreachable node fails the start in time', async (t) => {
  const ports = [(await startTcpServer(t)).port, await freePort()]
  for (const port of ports) {
    for (const url of [`memcached://127.0.0.1:${port}`, `memcacheds://127.0.0.1:${port}`]) {
      const tookMs = await timeUntilUnavailable(
        t,
        MemcachedDataStore.open(url, { deadlineMs, openMs: 300 }),
      )
      t.ok(tookMs < 1_400 + lateMs, `${url} after ${tookMs} ms`)
    }
  }
})

t.test('a call beyond the limit fails immediately', async (t) => {
  const server = await startMemcached(t)
  const store = await open(t, server.url)
  server.freeze()
  const owner = newOwner()
  const calls = Array.from({ length: 2_000 }, () => store.read(owner, 'all').catch(() => null))
  await t.rejects(store.read(owner, 'all'), { message: /too many calls/ })
  server.thaw()
  await Promise.all(calls)
})

t.test('close() waits for calls and refuses further ones', async (t) => {
  const server = await startMemcached(t)
  const store = await MemcachedDataStore.open(server.url, { deadlineMs })
  const one = write({ owner: newOwner() })
  const writing = store.write(one)
  await store.close()
  t.equal(await writing, 'written')
  await timeUntilUnavailable(t, store.read(one.owner, 'all'))
})
