import t from 'tap'
import type { JsonObject } from '../../src/core/json.ts'
import { HeldBytes } from '../../src/tokens/held-bytes.ts'
import { readClaims } from '../../src/verifier/claims.ts'
import { readHeldClaims } from '../../src/verifier/held-claims.ts'
import { claimsWith } from '../support/tokens.ts'

const held = new HeldBytes('base64url')
const payloadOf = (claims: JsonObject) => Buffer.from(JSON.stringify(claims))
const read = (payload: Buffer) => readHeldClaims(held.hold(payload.toString('base64url')))

t.test('reads tokens of every kind, whichever came before', async (t) => {
  const kinds: JsonObject[] = [
    {},
    { scope: 'a' },
    { aud: ['https://api.test'], sid: 's' },
    { x: 1 },
  ]
  // Long enough for each kind to become the pattern once, and then one after the other.
  const turns = [...kinds.flatMap((kind) => Array(20).fill(kind)), ...Array(10).fill(kinds).flat()]
  for (const [turn, kind] of turns.entries()) {
    const payload = payloadOf(claimsWith({ ...kind, sub: `user ${turn}`, iat: turn }))
    t.strictSame(read(payload), readClaims(payload))
  }
})

t.test('refuses what a full reading refuses, whichever came before', async (t) => {
  const good = payloadOf(claimsWith())
  const refused = [claimsWith({ sub: '' }), claimsWith({ exp: 1.5 }), claimsWith({ aud: 1 })].map(
    payloadOf,
  )
  refused.push(Buffer.from('[]'), Buffer.from('{'), Buffer.alloc(0), Buffer.from([0xff]))
  for (const payload of refused) {
    for (let time = 0; time < 40; time += 1) {
      t.throws(() => read(payload), { code: 'token_claims' })
    }
    t.ok(read(good))
  }
})
