import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { createVerifier } from '../../../../src/verifier/verifier.ts'
import { audience, issuer } from '../../scenarios/access-tokens.ts'
import { nanosecondsOf } from './loop.ts'
import { readTokens } from './token-file.ts'

/** Verifies tokens that are all in the cache of one verifier. */

const [jwks = '', path = '', count = '', duration_s = ''] = process.argv.slice(2)
process.once('disconnect', () => process.exit())
const tokens = readTokens(path, Number(count))
/** No more than there are at the least. */
const warmupCount = 100
/** All that an option allows, which is room for a million. */
const maxBytes = 2 * 1024 ** 3
const options = { issuer, audience, jwks: JSON.parse(jwks), cache: { maxBytes } }
const verifier = createVerifier(options)
const verify = (token: string) => verifier.verifySync(token)

/** What has the code compiled, which takes memory too. */
const other = createVerifier(options)
for (let index = 0; index < warmupCount; index++) other.verifySync(tokens.tokenAt(index))

const before = heap_bytes()
for (let index = 0; index < tokens.count; index++) verify(tokens.tokenAt(index))
const bytes = (heap_bytes() - before) / tokens.count
const ns = nanosecondsOf(tokens, verify, Number(duration_s))
const { cache } = verifier.status()
if (cache === null || cache.tokens !== tokens.count) throw new Error('the cache does not hold all')
const map = new Map(Array.from({ length: tokens.count }, (_, at) => [tokens.tokenAt(at), at]))
const map_ns = nanosecondsOf(tokens, (token) => map.get(token), Number(duration_s))
process.send?.({ ns, map_ns, bytes, reckoned_bytes: cache.bytes / cache.tokens })

/** Of what is in use. */
function heap_bytes(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  collect()
  return process.memoryUsage().heapUsed
}
