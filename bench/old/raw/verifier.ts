import { createPublicKey, type JsonWebKey, verify } from 'node:crypto'
import { createVerifier as createFastJwt } from 'fast-jwt'
import { type Algorithm, algorithms } from '../../../src/tokens/algorithms.ts'
import { parseCompact } from '../../../src/tokens/compact.ts'
import { derFromRaw } from '../../../src/tokens/ecdsa.ts'
import { readyForJws } from '../../../src/tokens/node-key.ts'
import { createVerifier } from '../../../src/verifier/verifier.ts'
import { audience, createSigningKey, issuer, signTokens } from '../scenarios/access-tokens.ts'
import { runLoop } from './loop.ts'
import { nextInTurn } from './new-strings.ts'

/**
 * One verification in this process: of a token that is new each time, of one that was met before,
 * or of nothing but its signature.
 */

const [, , what = '', alg = 'ES256'] = process.argv.slice(2) as [string, string, string, Algorithm]
/** More than the small cache of `new` holds. */
const tokenCount = 4096
const smallCacheBytes = 1024 ** 2
/** A look at the clock costs a good part of a look-up. */
const timesEach = 100

const { key, jwks } = await createSigningKey(alg)
const tokens = await signTokens(what === 'new' || what === 'raw' ? tokenCount : 1, key)
let turn = 0

const works: Readonly<Record<string, () => unknown>> = {
  raw: rawWork,
  new: () => verifierWork(() => tokens[turn++ % tokens.length] as string, smallCacheBytes),
  repeated: () => verifierWork(nextInTurn(tokens)),
  'fast-jwt': fastJwtWork,
}

/**
 * Of the same tokens in turn: one alone stays in the caches of the processor, and is quicker. Here as there,
 * what is verified is there before: to make the string of a token is the work of who receives it.
 */
function rawWork() {
  const publicKey = createPublicKey({ key: jwks.keys[0] as JsonWebKey, format: 'jwk' })
  const ready = readyForJws(publicKey, alg)
  const signatures = tokens.map((token) => {
    const { signingInput, signature } = parseCompact(token)
    const bytes = alg === 'ES256' ? derFromRaw(signature) : signature
    return { signed: Buffer.from(signingInput), bytes }
  })
  return () => {
    const { signed, bytes } = signatures[turn++ % signatures.length] as (typeof signatures)[0]
    return verify(algorithms[alg].digest, signed, ready, bytes)
  }
}

function verifierWork(next: () => string, maxBytes?: number) {
  const cache = maxBytes === undefined ? {} : { cache: { maxBytes } }
  const verifier = createVerifier({ issuer, audience, jwks, ...cache })
  return () => verifier.verifySync(next())
}

function fastJwtWork() {
  const publicKey = createPublicKey({ key: jwks.keys[0] as JsonWebKey, format: 'jwk' })
  const pem = publicKey.export({ type: 'spki', format: 'pem' })
  const check = createFastJwt({
    key: pem,
    cache: true,
    algorithms: ['ES256'],
    allowedIss: issuer,
    allowedAud: audience,
  })
  const next = nextInTurn(tokens)
  return () => check(next())
}

const make = works[what]
if (make === undefined) throw new Error(`there is no work ${what}`)
const work = make() as () => unknown
await runLoop(work, what === 'raw' || what === 'new' ? 1 : timesEach)
