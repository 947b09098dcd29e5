/** The field of Ed25519, and its curve −x² + y² = 1 + d·x²·y² (RFC 8032 §5.1). */
const p = 2n ** 255n - 19n
const d = modulo(-121665n * inverse(121666n))

/**
 * Whether 32 bytes encode a point that is fit to be a public key: on the curve, in the canonical
 * form, and not one of the eight points of small order, with which anybody can sign (a key of 32
 * zero bytes is one). OpenSSL checks none of this when it imports a key.
 */
export function isEd25519PublicPoint(encoded: Buffer): boolean {
  let y = BigInt(`0x${Buffer.from(encoded).reverse().toString('hex')}`)
  y = BigInt.asUintN(255, y) // the last bit is the sign of x, which no check here depends on
  if (encoded.length !== 32 || y >= p || !isSquare(xSquared(y))) return false
  for (let doublings = 0; doublings < 3; doublings += 1) y = doubled(y)
  return y !== 1n // y = 1 is the neutral point: eight times a point of small order
}

/** The curve solved for x². */
function xSquared(y: bigint): bigint {
  const ySquared = y * y
  return modulo((ySquared - 1n) * inverse(modulo(d * ySquared + 1n)))
}

/** The y of twice a point (RFC 8032 §5.1.4, in affine form); it depends on y alone. */
function doubled(y: bigint): bigint {
  const ySquared = y * y
  const square = xSquared(y)
  return modulo((ySquared + square) * inverse(modulo(2n + square - ySquared)))
}

/** Euler's criterion. */
function isSquare(value: bigint): boolean {
  return power(value, (p - 1n) / 2n) !== p - 1n
}

/** Fermat's little theorem. */
function inverse(value: bigint): bigint {
  return power(value, p - 2n)
}

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n
  let square = base
  for (let bits = exponent; bits > 0n; bits >>= 1n) {
    if (bits & 1n) result = (result * square) % p
    square = (square * square) % p
  }
  return result
}

function modulo(value: bigint): bigint {
  return ((value % p) + p) % p
}
