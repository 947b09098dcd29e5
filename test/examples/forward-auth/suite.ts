import t from 'tap'
import { testAnswers } from './answers.ts'
import { testForgedHeaders, testMisledProxies } from './attacks.ts'
import { testDetours } from './detours.ts'
import { testOutages } from './outages.ts'
import { testProofs } from './proofs.ts'
import { type ProxyExample, startBehind } from './start.ts'

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
