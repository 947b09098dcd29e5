import crypto from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'
import t, { type Test } from 'tap'
import {
  type ClientCredentials,
  readClientCredentials,
} from '../../src/oauth/client-authentication.ts'
import { first, second, startOAuth } from '../support/oauth.ts'

type Counted = 'hash' | 'timingSafeEqual'

/** Counts the calls of these functions of Node, wherever they are imported. */
function countCalls(t: Test): Record<Counted, number> {
  const { hash, timingSafeEqual } = crypto
  const counts = { hash: 0, timingSafeEqual: 0 }
  const counting = <F extends (...parameters: never[]) => unknown>(name: Counted, call: F) =>
    ((...parameters: never[]) => {
      counts[name] += 1
      return call(...parameters)
    }) as unknown as F
  const use = (functions: object) => {
    Object.assign(crypto, functions)
    syncBuiltinESMExports()
  }
  use({
    hash: counting('hash', hash),
    timingSafeEqual: counting('timingSafeEqual', timingSafeEqual),
  })
  t.teardown(() => use({ hash, timingSafeEqual }))
  return counts
}

t.test(
  'every refusal of a secret takes the same work, which says nothing about clients',
  async (t) => {
    const { oauth } = await startOAuth(t)
    const counts = countCalls(t)
    const attempts: Record<
      string,
      [ClientCredentials['method'], clientId: string, secret: string]
    > = {
      'a wrong secret': ['client_secret_basic', 'billing', second.secret],
      'a made-up secret': ['client_secret_basic', 'billing', 'hunter2'],
      'a wrong secret beside two': ['client_secret_post', 'rotating', 'hunter2'],
      'an unknown client': ['client_secret_basic', 'nobody', second.secret],
      'a public client': ['client_secret_post', 'spa', second.secret],
      'a client with a key': ['client_secret_post', 'signing', second.secret],
      'the right secret by another method': ['client_secret_post', 'billing', first.secret],
    }
    const work: Record<string, typeof counts> = {}
    for (const [at, [name, [method, clientId, secret]]] of Object.entries(attempts).entries()) {
      Object.assign(counts, { hash: 0, timingSafeEqual: 0 })
      const credentials = { method, clientId, secret } as ClientCredentials
      // A network of its own: no attempt waits for another.
      const request = { address: `10.${at}.0.1`, audit: () => {} }
      const refused = { code: 'client_authentication_failed' }
      await t.rejects(oauth.authentication.authenticate(credentials, request), refused, name)
      work[name] = { ...counts }
    }
    for (const [name, counted] of Object.entries(work)) {
      t.same(counted, work['a wrong secret'], name)
      t.equal(counted.timingSafeEqual, 2, 'two comparisons, however many secrets a client has')
      t.ok(counted.hash >= 1)
    }
  },
)

t.test('the log has the reason for unacceptable credentials', async (t) => {
  const basicOf = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`
  const cases: [authorization: string | undefined, form: Record<string, string>, RegExp][] = [
    [undefined, {}, /: it sent no client_id$/],
    ['Bearer x', {}, /Basic/],
    [basicOf(':secret'), {}, /Basic/],
    [basicOf('billing:%'), {}, /malformed/],
    [basicOf('billing:secret'), { client_id: 'spa' }, /client_id does not match/],
    [undefined, { client_assertion: 'x' }, /client_assertion_type/],
  ]
  for (const [authorization, form, message] of cases) {
    const read = () => readClientCredentials(authorization, form)
    t.throws(read, { code: 'client_authentication_failed', cause: { message } }, String(message))
  }
})
