import t from 'tap'
import { bearer, identityOf } from './answers.ts'
import { forged, ofMallory } from './attacks.ts'
import { clientOf, headersLike, namesOf } from './client.ts'
import { hostOf, startVerifiers } from './servers.ts'

t.test('A24: the service sends only its own headers', async (t) => {
  const { port } = await startVerifiers(t)
  const call = clientOf(port, hostOf(0))
  const own = ['cache-control', 'connection', 'content-length', 'date', 'x-content-type-options']
  const refused = ['content-type', 'www-authenticate']
  for (const [headers, status, names] of [
    [bearer(), 200, ['x-auth-client', 'x-auth-scope', 'x-auth-session', 'x-auth-subject']],
    [[], 401, refused],
  ] as const) {
    for (const before of [[], forged]) {
      const answer = await call({ path: '/verify', headers: [...before, ...headers] })
      t.equal(answer.status, status)
      t.same(namesOf(answer.rawHeaders).sort(), [...own, ...names].sort())
      t.notMatch(JSON.stringify(answer), ofMallory)
      if (status === 200) {
        t.same(headersLike(answer.rawHeaders, 'x-auth'), identityOf('user-1'))
      }
    }
  }
})
