import { runInNewContext } from 'node:vm'
import t from 'tap'
import { createVerifier } from '../../src/verifier/index.ts'
import { claimsWith, mint } from '../support/tokens.ts'
import { type Adapter, adapters } from './adapters.ts'
import { keyOf, options } from './harness.ts'

/**
 * In a test of Jest, and wherever else code runs in a context of node:vm, a promise of `node:crypto` is
 * no instance of the `Promise` there.
 */
t.before(() => {
  const { Promise: own } = globalThis
  globalThis.Promise = runInNewContext('Promise')
  t.teardown(() => {
    globalThis.Promise = own
  })
})

for (const [name, adapter] of Object.entries<Adapter>(adapters)) {
  t.test(`${name} waits for a promise of another realm`, async (t) => {
    const present = await adapter(t, createVerifier(options))
    const token = mint(keyOf('ES256'))
    const other = mint(keyOf('ES256'), { payload: claimsWith({ sub: 'eve' }) })
    const forged = token.replace(/[^.]+$/, other.split('.')[2] ?? '')
    t.equal(await present(forged), 'token_signature')
    t.equal(await present(token), 'accepted')
  })
}
