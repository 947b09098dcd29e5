import { createPublicKey, type KeyObject } from 'node:crypto'
import type { JsonObject } from '../core/json.ts'
import { digestText } from '../core/secrets.ts'
import { isKeyId } from './access-token.ts'
import {
  type Algorithm,
  addJwsOptions,
  algorithmNames,
  algorithms,
  isAlgorithm,
} from './algorithms.ts'
import { decodeBase64url, isJsonObject } from './strict-decoding.ts'

/** A public `KeyObject` of node:crypto, declared here because these types work without @types/node. */
export interface PublicKeyObject {
  readonly type: 'public' | 'private' | 'secret'
  readonly asymmetricKeyType?: string
}

/** A public key, bound to the one algorithm it verifies. Made by `importVerificationKey`. */
export interface VerificationKey {
  readonly kid: string
  readonly alg: Algorithm
  /** Has the options of `crypto.verify` as properties: `padding` for RSA, `saltLength` for PS256. */
  readonly key: PublicKeyObject
  /** Length of every signature by this key. */
  readonly signatureBytes: number
  /** The key as a JWK with the checked members only. Equal for equal keys. */
  readonly jwk: Readonly<Record<string, string>>
}

/** A key, or why it is refused. `kid` is null if the JWK has no acceptable `kid`. */
export type ImportedKey =
  | { readonly ok: true; readonly key: VerificationKey }
  | { readonly ok: false; readonly kid: string | null; readonly reason: string }

/** The public members of each key type, besides `kty` and `crv`: RFC 7518 §6, RFC 8037 §2, RFC 9964 §3. */
export const publicMembers = { EC: ['x', 'y'], OKP: ['x'], RSA: ['n', 'e'], AKP: ['pub'] } as const

/** The private members of every key type, and the secret of a symmetric one. */
const privateMembers = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'priv', 'k']

const coordinateBytes = 32
/** A shorter modulus can be factored; a longer one makes a verification slow enough for an attack. */
const modulusBits = { min: 2048, max: 8192 }
/** A longer exponent makes verification slow. */
const maxExponentBytes = 4

/**
 * Imports a verification key from a public JWK (RFC 7517) with a `kid` and an `alg`. Never throws: a
 * refused key has a reason, so that the other keys of its set can be used.
 *
 * @param known imported keys; an equal key is returned as the same object
 */
export function importVerificationKey(
  jwk: unknown,
  known: readonly VerificationKey[] = [],
): ImportedKey {
  if (!isJsonObject(jwk)) return { ok: false, kid: null, reason: 'it is not a JSON object' }
  const kid = isKeyId(jwk.kid) ? jwk.kid : null
  const refuse = (reason: string): ImportedKey => ({ ok: false, kid, reason })

  if (kid === null) return refuse('it has no acceptable kid')
  const { alg } = jwk
  if (!isAlgorithm(alg)) return refuse(`its alg must be one of ${algorithmNames.join(', ')}`)
  const purposeProblem = findPurposeProblem(jwk, alg)
  if (purposeProblem !== null) return refuse(purposeProblem)
  const members = readPublicMembers(jwk, alg)
  if (members === null) return refuse('its public members are missing or not canonical base64url')
  const checked = checkedJwk(jwk, kid, alg)
  const same = known.find((key) => isSameJwk(key.jwk, checked))
  if (same !== undefined) return { ok: true, key: same }
  const valueProblem = findValueProblem(members, alg)
  if (valueProblem !== null) return refuse(valueProblem)

  const key = createKey(checked)
  if (key === null) return refuse('it is not a valid public key')
  const bits = key.asymmetricKeyDetails?.modulusLength
  if (bits !== undefined && (bits < modulusBits.min || bits > modulusBits.max)) {
    return refuse(`its modulus must have ${modulusBits.min} to ${modulusBits.max} bits`)
  }
  const signatureBytes = algorithms[alg].signatureBytes ?? Math.ceil((bits ?? 0) / 8)
  const bound = { kid, alg, key: addJwsOptions(key, alg), signatureBytes, jwk: checked }
  return { ok: true, key: Object.freeze(bound) }
}

/** Returns why a key is not meant for verification with this algorithm; null if it is. */
function findPurposeProblem(jwk: JsonObject, alg: Algorithm): string | null {
  const { kty, crv } = algorithms[alg]
  if (privateMembers.some((member) => Object.hasOwn(jwk, member))) return 'it is not a public key'
  if (jwk.kty !== kty) return `the kty of a key for ${alg} must be ${kty}`
  if (crv !== null && jwk.crv !== crv) return `the crv of a key for ${alg} must be ${crv}`
  if (jwk.use !== undefined && jwk.use !== 'sig') return 'its use must be sig'
  const operations = jwk.key_ops
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify'))) {
    return 'its key_ops must include verify'
  }
  return null
}

function readPublicMembers(jwk: JsonObject, alg: Algorithm): Map<string, Buffer> | null {
  const members = new Map<string, Buffer>()
  for (const name of publicMembers[algorithms[alg].kty]) {
    const bytes = decodeBase64url(jwk[name])
    if (bytes === null || bytes.length === 0) return null
    members.set(name, bytes)
  }
  return members
}

/** Returns what is wrong with key values that OpenSSL accepts; null if they are valid. */
function findValueProblem(members: ReadonlyMap<string, Buffer>, alg: Algorithm): string | null {
  const { kty } = algorithms[alg]
  if (kty === 'RSA') return findRsaProblem(members)
  if (kty === 'AKP') return null
  for (const bytes of members.values()) {
    if (bytes.length !== coordinateBytes)
      return `its coordinates must have ${coordinateBytes} bytes`
    if (kty === 'OKP' && !isEd25519PublicPoint(bytes)) return 'its point is not safe as a key'
  }
  return null
}

function findRsaProblem(members: ReadonlyMap<string, Buffer>): string | null {
  for (const bytes of members.values()) {
    if (bytes[0] === 0) return 'its numbers must have no leading zero' // RFC 7518 §2
  }
  if (hasRocaFingerprint(members.get('n') ?? Buffer.alloc(0))) {
    return 'its modulus has the ROCA fingerprint (CVE-2017-15361), so it can be factored'
  }
  const exponent = members.get('e') ?? Buffer.alloc(0)
  if (exponent.length > maxExponentBytes) return `its e must have at most ${maxExponentBytes} bytes`
  const e = exponent.readUIntBE(0, exponent.length)
  return e >= 3 && e % 2 === 1 ? null : 'its e must be odd and at least 3'
}

/** The library of CVE-2017-15361 chooses its primes modulo a product of these primes. */
const rocaPrimes = oddPrimesUpTo(701)
const rocaGenerator = 65537

function oddPrimesUpTo(last: number): readonly number[] {
  const primes: number[] = []
  for (let n = 3; n <= last; n += 2) if (primes.every((prime) => n % prime !== 0)) primes.push(n)
  return primes
}

/**
 * Tells whether a modulus was made by the library of CVE-2017-15361: it is a power of 65537 modulo each
 * of the small primes. Fewer than one in 2^160 of other moduli have this fingerprint.
 */
function hasRocaFingerprint(modulusBytes: Buffer): boolean {
  const modulus = BigInt(`0x${modulusBytes.toString('hex')}`)
  return rocaPrimes.every((prime) => isRocaPower(Number(modulus % BigInt(prime)), prime))
}

function isRocaPower(residue: number, prime: number): boolean {
  let power = 1
  do {
    if (power === residue) return true
    power = (power * rocaGenerator) % prime
  } while (power !== 1)
  return false
}

/** Equal keys give equal JWKs, because the public members are canonical. */
function checkedJwk(jwk: JsonObject, kid: string, alg: Algorithm): VerificationKey['jwk'] {
  const { kty, crv } = algorithms[alg]
  const members = publicMembers[kty].map((name) => [name, jwk[name] as string])
  return Object.freeze({
    kty,
    ...(crv !== null && { crv }),
    kid,
    alg,
    ...Object.fromEntries(members),
  })
}

function isSameJwk(one: VerificationKey['jwk'], other: VerificationKey['jwk']): boolean {
  return Object.keys(one).every((name) => one[name] === other[name])
}

/** Imports checked members. OpenSSL rejects a P-256 point that is not on the curve. */
function createKey({ kid: _, ...jwk }: VerificationKey['jwk']): KeyObject | null {
  try {
    return createPublicKey({ key: jwk, format: 'jwk' })
  } catch {
    return null
  }
}

/** Members of a thumbprint, in order: RFC 7638 §3.2, RFC 8037 §2, RFC 9964 §6. */
const thumbprintMembers = {
  EC: ['crv', 'kty', 'x', 'y'],
  OKP: ['crv', 'kty', 'x'],
  RSA: ['e', 'kty', 'n'],
  AKP: ['alg', 'kty', 'pub'],
} as const

/** Length of a SHA-256 digest. */
const thumbprintBytes = 32

/**
 * Returns the SHA-256 thumbprint of a JWK (RFC 7638). Does not check that the key is valid.
 *
 * @returns null if a member is missing, or if the key type is not that of the algorithm
 */
export function jwkThumbprint(
  jwk: { readonly [member: string]: unknown },
  alg: Algorithm,
): string | null {
  const { kty } = algorithms[alg]
  const canonical: Record<string, string> = {}
  for (const name of thumbprintMembers[kty]) {
    const value = jwk[name]
    if (typeof value !== 'string') return null
    canonical[name] = value
  }
  return canonical.kty === kty ? digestText(JSON.stringify(canonical)) : null
}

export function isThumbprint(value: unknown): value is string {
  return decodeBase64url(value)?.length === thumbprintBytes
}

/** A key of the right length (RFC 9964): all bytes are a key. */
const sampleMlDsaKey = { kty: 'AKP', kid: '', alg: 'ML-DSA-44', pub: 'A'.repeat(1750) }

/** The algorithms that this runtime can verify. Node 22, Deno and workerd have no ML-DSA-44. */
export const usableAlgorithms: readonly Algorithm[] = algorithmNames.filter(
  (alg) => alg !== sampleMlDsaKey.alg || createKey(sampleMlDsaKey) !== null,
)

/** The field of Ed25519 and its curve, −x² + y² = 1 + d·x²·y² (RFC 8032 §5.1). */
const p = 2n ** 255n - 19n
const d = 37095705934669439343138083508754565189542113879843219016388785533085940283555n

/**
 * Tells whether 32 bytes encode a safe public key. A safe key is a canonical point on the curve, and not
 * one of the eight points of small order, for which anybody can sign. 32 zero bytes are such a point.
 * OpenSSL checks none of this at import.
 * @internal
 */
export function isEd25519PublicPoint(encoded: Buffer): boolean {
  let y = BigInt(`0x${Buffer.from(encoded).reverse().toString('hex')}`)
  y = BigInt.asUintN(255, y) // the last bit is the sign of x, which no check here depends on
  return encoded.length === 32 && y < p && isOnCurve(y) && !isOfSmallOrder(y)
}

/**
 * The curve solved for x² is (y² − 1) / (d·y² + 1), which must be a square. Then the product of the
 * two is a square as well, and no division is needed. The divisor is never 0, because −1/d is not a
 * square.
 */
function isOnCurve(y: bigint): boolean {
  const ySquared = (y * y) % p
  return jacobiSymbol((ySquared - 1n + p) * (d * ySquared + 1n), p) !== -1
}

/**
 * By y alone, order 1 is y = 1, order 2 is y = −1, and order 4 is y = 0. Twice a point of order 8 has
 * y = 0, for which the law of addition (RFC 8032 §5.1.4) wants x² = −y²; the curve makes of it
 * d·y⁴ + 2·y² − 1 = 0.
 */
function isOfSmallOrder(y: bigint): boolean {
  const ySquared = (y * y) % p
  return ySquared <= 1n || (d * ySquared * ySquared + 2n * ySquared - 1n) % p === 0n
}

/** 1 if `value` is a square modulo the prime `modulus`, −1 if not, 0 if it is a multiple of it. */
function jacobiSymbol(value: bigint, modulus: bigint): number {
  let a = value % modulus
  let n = modulus
  let symbol = 1
  while (a !== 0n) {
    while ((a & 1n) === 0n) {
      a >>= 1n
      if ((n & 7n) === 3n || (n & 7n) === 5n) symbol = -symbol
    }
    if ((a & 3n) === 3n && (n & 3n) === 3n)
      symbol = -symbol // quadratic reciprocity
    ;[a, n] = [n % a, a]
  }
  return n === 1n ? symbol : 0
}
