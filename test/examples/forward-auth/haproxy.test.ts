import t from 'tap'
import { bearer } from './answers.ts'
import { haproxy } from './haproxy.ts'
import { startBehind } from './start.ts'
import { testForwardAuth, testWebSockets } from './suite.ts'

testForwardAuth('HAProxy', haproxy)
testWebSockets('HAProxy', haproxy)

t.test('HAProxy fails closed when its Lua fails', async (t) => {
  const changes = (folder: string) => ({
    ...haproxy.changes?.(folder),
    'core.httpclient()': "error('it fails')",
  })
  const { application, call } = await startBehind(t, { ...haproxy, changes })
  const answer = await call({ headers: bearer() })
  t.equal(answer.status, 503)
  t.equal(answer.headers['retry-after'], '5')
  t.same(application.requests, [])
})
