import { writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { calculateJwkThumbprint, type JWK } from 'jose'
import { GatepassError } from '../../core/errors.ts'
import { type EncryptionCurve, keyAgreement, makeKeyPair } from '../../tokens/encryption-key.ts'
import type { CliContext } from '../context.ts'

/**
 * `gatepass keys encryption`: a key pair for the encrypted tokens of an audience. The private key
 * goes to a new file that only its owner can read, in the form of GATEPASS_DECRYPTION_KEYS; the
 * public one to standard output, for GATEPASS_AUDIENCES.
 */
export async function makeEncryptionKey(
  context: CliContext,
  file: string,
  { curve }: { curve: EncryptionCurve },
): Promise<void> {
  const { publicJwk, privateJwk } = await createEncryptionKeyPair(curve)
  try {
    const text = `${JSON.stringify([privateJwk], null, 2)}\n`
    writeFileSync(resolve(context.cwd, file), text, { flag: 'wx', mode: 0o600 })
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? String(error.code) : 'unwritable'
    throw new GatepassError('config_invalid', { detail: `${file} can't be made (${reason}).` })
  }
  context.stdout.write(`${JSON.stringify(publicJwk, null, 2)}\n`)
}

/** Creates a key pair as JWKs; `kid` is the RFC 7638 thumbprint. */
async function createEncryptionKeyPair(
  crv: EncryptionCurve,
): Promise<{ publicJwk: JWK; privateJwk: JWK }> {
  const { publicKey, privateKey } = makeKeyPair(crv)
  const jwk = publicKey.export({ format: 'jwk' }) as JWK
  const kid = await calculateJwkThumbprint(jwk)
  const named = (own: object) => ({ ...own, kid, use: 'enc', alg: keyAgreement }) as JWK
  return { publicJwk: named(jwk), privateJwk: named(privateKey.export({ format: 'jwk' })) }
}
