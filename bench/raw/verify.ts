import { generateKeyPairSync, sign, verify } from 'node:crypto'
import { runLoop } from './loop.ts'

/** One check of an ES256 signature, in DER for the same reason as in `sign.ts`. */

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const signingInput = Buffer.alloc(550, 'a')
const signature = sign('sha256', signingInput, privateKey)
await runLoop(() => verify('sha256', signingInput, publicKey, signature))
