import { pino } from 'pino'
import t from 'tap'
import { buildAdminApp } from '../../src/http/admin-app.ts'

const app = buildAdminApp({
  logger: pino({ level: 'silent' }),
  hosts: ['metrics.example.com'],
  readiness: async () => ({ ready: true, checks: {} }),
  metrics: async () => 'up 1\n',
})
t.teardown(() => app.close())

const ask = (url: string, host: string) => app.inject({ url, headers: { host } })

t.test('a page cannot read the admin port by DNS rebinding', async (t) => {
  for (const url of ['/metrics', '/readyz', '/livez', '/nowhere']) {
    const response = await ask(url, 'rebound.evil.test:4001')
    t.equal(response.statusCode, 421, url)
    t.match(response.json(), { code: 'host_not_allowed', detail: /GATEPASS_ADMIN_HOSTS/ })
    t.notMatch(response.body, /evil/)
  }
})

t.test('the admin port accepts addresses, names without a dot, and configured names', async (t) => {
  for (const host of ['10.0.3.7:4001', '[fd00::7]:4001', 'localhost:4001', 'issuer:4001']) {
    t.equal((await ask('/metrics', host)).body, 'up 1\n', host)
  }
  t.equal((await ask('/readyz', 'metrics.example.com:4001')).statusCode, 200)
})

t.test('another method gets 405 with Allow', async (t) => {
  for (const url of ['/livez', '/readyz', '/metrics']) {
    const response = await app.inject({ method: 'POST', url, headers: { host: 'localhost:4001' } })
    t.match(response.json(), { status: 405, code: 'method_not_allowed' }, url)
    t.equal(response.headers.allow, 'GET, HEAD')
  }
})
