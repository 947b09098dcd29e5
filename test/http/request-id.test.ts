import t from 'tap'
import { requestIdOf } from '../../src/http/app.ts'
import { startIssuer } from '../support/issuer.ts'

const trace = '4bf92f3577b34da6a3ce929d0e0e4736'
const uuid = /^[0-9a-f]{8}-[0-9a-f-]{27}$/

t.test('uses a valid request id of the caller, or generates one', async (t) => {
  const id = (headers: Record<string, string>) => requestIdOf({ headers })
  t.equal(id({ traceparent: `00-${trace}-00f067aa0ba902b7-01` }), trace)
  t.equal(id({ 'x-request-id': 'abc_DEF-12345' }), 'abc_DEF-12345')
  t.match(id({ traceparent: `00-${'0'.repeat(32)}-00f067aa0ba902b7-01` }), uuid)
  for (const bad of [
    'short',
    'x'.repeat(65),
    'with space',
    'a.b.c.d.e.f',
    'gpr_abc.0.def',
    'a\nb123456',
  ]) {
    t.match(id({ 'x-request-id': bad }), uuid, bad)
  }
  t.match(id({}), uuid)
})

t.test('the request id is in the audit event and in the problem document', async (t) => {
  const issuer = await startIssuer(t)
  const response = await issuer.call({
    method: 'POST',
    url: '/login',
    body: { username: 'ada', password: 'wrong password' },
    headers: { traceparent: `00-${trace}-00f067aa0ba902b7-01` },
  })
  t.equal(response.json().request_id, trace)
  t.match(issuer.audit().at(-1), { event: 'login.failed', request_id: trace })
})
