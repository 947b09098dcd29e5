import {
  createCipheriv,
  createHash,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  type JsonWebKey,
  randomBytes,
} from 'node:crypto'
import { encode } from './tokens.ts'

export type Curve = 'P-256' | 'X25519'

/** The key pair of an audience, as JWKs. */
export interface EncryptionPair {
  readonly kid: string
  readonly crv: Curve
  readonly publicJwk: Readonly<Record<string, string>>
  readonly privateJwk: Readonly<Record<string, string>>
}

export function makeEncryptionPair(crv: Curve = 'P-256', kid = `enc-${crv}`): EncryptionPair {
  const { publicKey, privateKey } = generatePair(crv)
  const jwk = (key: typeof publicKey) =>
    ({ ...key.export({ format: 'jwk' }), kid, use: 'enc', alg: 'ECDH-ES' }) as Record<
      string,
      string
    >
  return { kid, crv, publicJwk: jwk(publicKey), privateJwk: jwk(privateKey) }
}

function generatePair(crv: Curve) {
  return crv === 'P-256'
    ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
    : generateKeyPairSync('x25519')
}

export interface EncryptedParts {
  /** Changes of the header. An undefined member is left out. */
  readonly header?: Readonly<Record<string, unknown>>
  /** Returns the text of the header, given its members. */
  readonly headerText?: (header: object) => string
  readonly ivBytes?: number
}

/**
 * Encrypts any content with ECDH-ES and A256GCM, with any header. Independent of the tested code, and
 * without its checks.
 */
export function encryptFor(pair: EncryptionPair, content: string, parts: EncryptedParts = {}) {
  const { kid, crv, publicJwk } = pair
  const ephemeral = generatePair(crv)
  const epk = ephemeral.publicKey.export({ format: 'jwk' })
  const fields = { alg: 'ECDH-ES', enc: 'A256GCM', cty: 'JWT', kid, epk, ...parts.header }
  const header = encode((parts.headerText ?? JSON.stringify)(fields))
  const secret = diffieHellman({
    privateKey: ephemeral.privateKey,
    publicKey: createPublicKey({ key: publicJwk as JsonWebKey, format: 'jwk' }),
  })
  const info = Buffer.concat([
    Buffer.from('00000001', 'hex'),
    secret,
    Buffer.from('\0\0\0\x07A256GCM\0\0\0\0\0\0\0\0\0\0\x01\0', 'latin1'),
  ])
  const iv = randomBytes(parts.ivBytes ?? 12)
  const cipher = createCipheriv('aes-256-gcm', createHash('sha256').update(info).digest(), iv)
  cipher.setAAD(Buffer.from(header))
  const ciphertext = Buffer.concat([cipher.update(content), cipher.final()])
  return [header, '', encode(iv), encode(ciphertext), encode(cipher.getAuthTag())].join('.')
}
