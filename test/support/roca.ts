import { checkPrimeSync, createPrivateKey, randomBytes } from 'node:crypto'
import type { TestKey } from './tokens.ts'

const generator = 65537n
const publicExponent = 65537n

/** Returns the product of the first primes. Vulnerable libraries derive their primes from it. */
export function primorial(count: number): bigint {
  const primes: bigint[] = []
  for (let n = 2n; primes.length < count; n += 1n) {
    if (primes.every((prime) => n % prime !== 0n)) primes.push(n)
  }
  return primes.reduce((product, prime) => product * prime, 1n)
}

/** Returns a number of the form k·M + (65537^a mod M), like the primes of CVE-2017-15361. */
export function rocaNumber(bits: number, product: bigint): bigint {
  const residue = powerModulo(generator, randomBits(256), product)
  // The two highest bits are set, so that the product of two numbers has twice the length.
  const low = 3n << BigInt(bits - 2)
  const room = (1n << BigInt(bits - 2)) / product
  return (low / product + 1n + (randomBits(bits) % (room - 1n))) * product + residue
}

/** Creates a valid RSA key that can be factored. */
export function makeRocaKey(alg: 'RS256' | 'PS256', kid: string): TestKey {
  const [p, q] = [rocaPrime(), rocaPrime()]
  const d = inverse(publicExponent, (p - 1n) * (q - 1n))
  const members = {
    n: p * q,
    e: publicExponent,
    d,
    p,
    q,
    dp: d % (p - 1n),
    dq: d % (q - 1n),
    qi: inverse(q, p),
  }
  const encoded = Object.entries(members).map(([name, value]) => [name, base64url(value)])
  const jwk = { kty: 'RSA', ...Object.fromEntries(encoded) }
  const { n, e } = jwk
  const privateKey = createPrivateKey({ key: jwk, format: 'jwk' })
  return { kid, alg, privateKey, publicJwk: { kty: 'RSA', n, e, kid, alg, use: 'sig' } }
}

export function base64url(value: bigint): string {
  const hex = value.toString(16)
  return Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex').toString('base64url')
}

/** Returns a prime of 1024 bits, derived from the first 126 primes. */
function rocaPrime(): bigint {
  const product = primorial(126)
  for (;;) {
    const number = rocaNumber(1024, product)
    if ((number - 1n) % publicExponent !== 0n && checkPrimeSync(number)) return number
  }
}

function randomBits(bits: number): bigint {
  return BigInt(`0x${randomBytes(bits / 8).toString('hex')}`)
}

function powerModulo(base: bigint, exponent: bigint, modulus: bigint): bigint {
  let result = 1n
  for (let [left, power] = [exponent, base]; left > 0n; left >>= 1n) {
    if (left % 2n === 1n) result = (result * power) % modulus
    power = (power * power) % modulus
  }
  return result
}

function inverse(value: bigint, modulus: bigint): bigint {
  let [r, next, s, nextS] = [modulus, value % modulus, 0n, 1n]
  while (next !== 0n) {
    const quotient = r / next
    ;[r, next] = [next, r - quotient * next]
    ;[s, nextS] = [nextS, s - quotient * nextS]
  }
  return ((s % modulus) + modulus) % modulus
}
