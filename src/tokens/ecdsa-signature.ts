/**
 * Converts ECDSA signatures over P-256 between JWS (r and s, 32 bytes each, RFC 7518 §3.4) and the DER
 * of OpenSSL (RFC 3279 §2.2.3). Node's own conversion (`dsaEncoding`) builds the curve at each call,
 * which takes half the time of a signature.
 */
const numberBytes = 32
const sequenceTag = 0x30
const integerTag = 0x02

/** @param der made by OpenSSL */
export function rawFromDer(der: Buffer): Buffer {
  const raw = Buffer.alloc(2 * numberBytes)
  // The sequence is shorter than 128 bytes, so each length is a single one.
  let start = 2
  for (const end of [numberBytes, 2 * numberBytes]) {
    const length = der[start + 1] ?? 0
    start += 2
    // A leading zero only marks the number as not negative.
    const surplus = Math.max(0, length - numberBytes)
    der.copy(raw, end - (length - surplus), start + surplus, start + length)
    start += length
  }
  return raw
}

/** @param raw 64 bytes */
export function derFromRaw(raw: Buffer): Buffer {
  const r = firstSignificant(raw, 0)
  const s = firstSignificant(raw, numberBytes)
  const rLength = integerLength(raw, r, numberBytes)
  const sLength = integerLength(raw, s, 2 * numberBytes)
  const der = Buffer.allocUnsafe(6 + rLength + sLength)
  der[0] = sequenceTag
  der[1] = 4 + rLength + sLength
  writeInteger(der, 2, raw, r, numberBytes, rLength)
  writeInteger(der, 4 + rLength, raw, s, 2 * numberBytes, sLength)
  return der
}

/** Finds the first significant byte of the number at `start`; its last byte if all are zero. */
function firstSignificant(raw: Buffer, start: number): number {
  let at = start
  while (at < start + numberBytes - 1 && raw[at] === 0) at += 1
  return at
}

function integerLength(raw: Buffer, start: number, end: number): number {
  const isSignBitSet = (raw[start] ?? 0) >= 0x80
  return end - start + (isSignBitSet ? 1 : 0)
}

function writeInteger(
  der: Buffer,
  at: number,
  raw: Buffer,
  start: number,
  end: number,
  length: number,
): void {
  der[at] = integerTag
  der[at + 1] = length
  // Overwritten, unless the number needs a leading zero that marks it as not negative.
  der[at + 2] = 0
  raw.copy(der, at + 2 + length - (end - start), start, end)
}
