/** The field of Ed25519, and its curve −x² + y² = 1 + d·x²·y² (RFC 8032 §5.1). */
const p = 2n ** 255n - 19n
const d = 37095705934669439343138083508754565189542113879843219016388785533085940283555n

/**
 * Whether 32 bytes encode a point that is fit to be a public key: on the curve, in the canonical
 * form, and not one of the eight points of small order, with which anybody can sign (a key of 32
 * zero bytes is one). OpenSSL checks none of this when it imports a key.
 */
export function isEd25519PublicPoint(encoded: Buffer): boolean {
  let y = BigInt(`0x${Buffer.from(encoded).reverse().toString('hex')}`)
  y = BigInt.asUintN(255, y) // the last bit is the sign of x, which no check here depends on
  return encoded.length === 32 && y < p && isOnCurve(y) && !isOfSmallOrder(y)
}

/**
 * The curve solved for x² is (y² − 1) / (d·y² + 1), which must be a square. So is then the product of
 * the two, and no division is needed; the divisor is never 0, as −1/d is no square.
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
