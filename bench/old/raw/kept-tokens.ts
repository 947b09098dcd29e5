import { setImmediate } from 'node:timers/promises'
import { createVerifier } from '../../../src/verifier/verifier.ts'
import { resident_mib } from '../harness/process-figures.ts'
import { readTokens } from '../scale/workers/token-file.ts'
import { audience, issuer } from '../scenarios/access-tokens.ts'

/** By how much a process gets larger that checks tokens, each so many times, and keeps them. */

const [jwks = '', path = '', count = '', uses = ''] = process.argv.slice(2)
process.once('disconnect', () => process.exit())
const tokens = readTokens(path, Number(count))
/** So many requests may come in one turn of the event loop. */
const turnCount = 64
/** Until then the process has not done everything yet, and some of what it does takes memory. */
const warmupCount = 1_000

const options = { issuer, audience, jwks: JSON.parse(jwks) }
await verifyAll(createVerifier(options), warmupCount)
const before_mib = resident_mib(process.pid)
const verifier = createVerifier(options)
for (let use = 0; use < Number(uses); use += 1) await verifyAll(verifier, tokens.count)
const after_mib = resident_mib(process.pid)
if (verifier.status().cache?.tokens !== tokens.count) throw new Error('it does not keep all')
process.send?.({ resident_mib: after_mib - before_mib })

async function verifyAll(verifier: ReturnType<typeof createVerifier>, count: number) {
  for (let index = 0; index < count; index += 1) {
    verifier.verifySync(tokens.tokenAt(index))
    if (index % turnCount === 0) await setImmediate()
  }
}
