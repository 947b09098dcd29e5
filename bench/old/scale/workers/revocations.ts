import { createVerifier } from '../../../../src/verifier/verifier.ts'
import { identity } from '../session-issuer.ts'
import { nanosecondsOf } from './loop.ts'
import { readTokens } from './token-file.ts'

/** Verifies tokens, none of which is revoked, with what an issuer has revoked. */

const [url = '', path = '', count = '', entries = '', duration_s = ''] = process.argv.slice(2)
process.once('disconnect', () => process.exit())
const tokens = readTokens(path, Number(count))
const startMs = performance.now()
const verifier = createVerifier({
  ...identity,
  jwksUri: `${url}/.well-known/jwks.json`,
  revocations: { stream: false },
})
await verifier.ready()
const load_ms = performance.now() - startMs
if (verifier.status().revocations?.entries !== Number(entries)) {
  throw new Error('the verifier does not know all that was revoked')
}
const ns = nanosecondsOf(tokens, (token) => verifier.verifySync(token), Number(duration_s))
process.send?.({ ns, load_ms })
