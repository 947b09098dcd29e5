import { generateKeyPairSync, sign } from 'node:crypto'
import { runLoop } from './loop.ts'

/**
 * One ES256 signature in the quickest way of node:crypto: the key by itself and the result in DER.
 * Asking for r and s side by side, as a JWS has them, costs half as much again.
 */

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
// As long as the header and claims of an access token.
const signingInput = Buffer.alloc(550, 'a')
await runLoop(() => sign('sha256', signingInput, privateKey))
