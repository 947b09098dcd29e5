import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { startPaced } from '../../bench/old/load/paced.ts'

t.test('a paced load sends what is due, and counts the wait for a connection', async (t) => {
  const holdMs = 20
  const paths: string[] = []
  const server = createServer((request, response) => {
    paths.push(request.url ?? '')
    setTimeout(() => response.end(), holdMs)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const requests = ['/0', '/1'].map((path) => ({ method: 'GET', path }))
  const latencies_ms: number[] = []
  const enough = Promise.withResolvers<void>()
  const load = startPaced(
    // One connection answers 50 a second at most.
    { url: `http://127.0.0.1:${port}`, connections: 1, traffic: { kind: 'fixed', requests } },
    200,
    {
      failed: (reason) => enough.reject(new Error(reason)),
      answered(status, latency_ms) {
        t.equal(status, 200)
        if (latencies_ms.push(latency_ms) === 6) enough.resolve()
      },
    },
  )
  await enough.promise
  load.stop()
  await load.ended
  t.same(paths.slice(0, 4), ['/0', '/1', '/0', '/1'])
  const [first = 0, , , , , last = 0] = latencies_ms
  t.ok(first >= holdMs - 1, `${first} ms`)
  t.ok(last > 3 * holdMs, `the sixth was due long before: ${last} ms`)
})
