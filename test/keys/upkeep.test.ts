import t from 'tap'
import { createKey, ringKeys } from '../../src/keys/upkeep.ts'
import { KeyVault } from '../../src/keys/vault.ts'
import type { KeyEvent } from '../../src/keys/view.ts'
import { FakeClock, MemoryKeyStore, startMs } from './support.ts'

function making() {
  const events: KeyEvent[] = []
  const onChange = (event: KeyEvent) => void events.push(event)
  const vault = new KeyVault(new MemoryKeyStore(), [])
  return { vault, algorithm: 'Ed25519' as const, clock: new FakeClock(startMs), onChange, events }
}

const planned = { name: 'a', alg: 'Ed25519' as const, activateAtMs: startMs }

t.test('a key that is made is noted down once, by whoever was first', async (t) => {
  const options = making()
  t.strictSame(await createKey(options, () => planned), planned)
  t.strictSame(await createKey(options, () => planned), planned)
  const [record, ...more] = await options.vault.list()
  t.strictSame(more, [])
  t.strictSame(options.events, [{ name: 'key.created', kid: record?.kid }])
  t.equal(record?.createdAtMs, startMs)
})

t.test('the plan is asked when the key is there, and may have changed its mind', async (t) => {
  const options = making()
  const nothing = await createKey(options, (nowMs) => {
    t.equal(nowMs, startMs)
    return null
  })
  t.equal(nothing, null)
  t.strictSame(await options.vault.list(), [])
})

t.test('keys are made ready in turn and imported once', async (t) => {
  const options = making()
  await createKey(options, () => ({ ...planned, activateAtMs: startMs + 1 }))
  await createKey(options, () => ({ ...planned, name: 'b' }))
  const keys = ringKeys(await options.vault.list(), [])
  t.strictSame(
    keys.map(({ name }) => name),
    ['b', 'a'],
  )
  const again = ringKeys(await options.vault.list(), keys)
  for (const [position, { key }] of again.entries()) t.equal(key, keys[position]?.key)
  t.notMatch(Object.keys(keys[0] ?? {}), ['privateJwk'], 'what is secret stays in the key object')
})
