import t from 'tap'
import { bearer, identityOf, testAnswers } from './answers.ts'
import { testForgedHeaders, testMisledProxies, upgradeTo } from './attacks.ts'
import { headersLike } from './client.ts'
import { testDetours } from './detours.ts'
import { testOutages } from './outages.ts'
import { testProofs } from './proofs.ts'
import { type ProxyExample, startBehind } from './start.ts'

/** For the proxies that pass on WebSockets. */
export function testWebSockets(name: string, proxy: ProxyExample): void {
  t.test(`${name} passes on WebSockets`, async (t) => {
    const { application, call } = await startBehind(t, proxy)
    for (const protocol of ['websocket', 'WebSocket']) {
      t.equal((await call({ headers: upgradeTo([protocol]) })).status, 401)
      await call({ headers: [...upgradeTo([protocol]), ...bearer()] })
      const [seen, ...others] = application.requests.splice(0)
      const forwarded = headersLike(seen?.headers ?? [], 'upgrade').map(([, value]) => value)
      t.same(forwarded.join().toLowerCase(), 'websocket')
      t.same(headersLike(seen?.headers ?? [], 'x-auth'), identityOf('user-1'))
      t.same(others, [])
    }
  })
}

/** The tests that pass with every proxy, which runs the example's own files. */
export function testForwardAuth(name: string, proxy: ProxyExample): void {
  t.test(`through ${name}`, async (t) => {
    const behind = await startBehind(t, proxy)
    await t.test('answers', (t) => testAnswers(t, behind))
    await t.test('forged headers', (t) => testForgedHeaders(t, behind))
    await t.test('misleading headers', (t) => testMisledProxies(t, behind))
    await t.test('detours', (t) => testDetours(t, behind))
    await t.test('proofs', (t) => testProofs(t, behind))
    await t.test('outages', (t) => testOutages(t, behind))
  })
}
