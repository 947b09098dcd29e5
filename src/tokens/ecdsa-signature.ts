/**
 * The two forms of an ECDSA signature over P-256: r and s side by side, 32 bytes each, as JWS has
 * them (RFC 7518 §3.4), and the DER of OpenSSL (RFC 3279 §2.2.3). Node can convert by itself
 * (`dsaEncoding`), but builds the curve anew for it at each call: half the time of a signature.
 */
const numberBytes = 32
const sequenceTag = 0x30
const integerTag = 0x02

/** @param der as OpenSSL has made it */
export function rawFromDer(der: Buffer): Buffer {
  const raw = Buffer.alloc(2 * numberBytes)
  // The sequence is shorter than 128 bytes, so each length is a single one.
  let start = 2
  for (const end of [numberBytes, 2 * numberBytes]) {
    const length = der[start + 1] ?? 0
    start += 2
    // A zero in front only says that the number is not negative.
    const surplus = Math.max(0, length - numberBytes)
    der.copy(raw, end - (length - surplus), start + surplus, start + length)
    start += length
  }
  return raw
}

/** @param raw 64 bytes */
export function derFromRaw(raw: Buffer): Buffer {
  const r = firstDigit(raw, 0)
  const s = firstDigit(raw, numberBytes)
  const rLength = integerLength(raw, r, numberBytes)
  const sLength = integerLength(raw, s, 2 * numberBytes)
  const der = Buffer.allocUnsafe(6 + rLength + sLength)
  der[0] = sequenceTag
  der[1] = 4 + rLength + sLength
  writeInteger(der, 2, raw, r, numberBytes, rLength)
  writeInteger(der, 4 + rLength, raw, s, 2 * numberBytes, sLength)
  return der
}

/** Where the shortest form of the number at `start` begins: one byte is left at least. */
function firstDigit(raw: Buffer, start: number): number {
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
  // Overwritten, unless a zero has to say that the number is not negative.
  der[at + 2] = 0
  raw.copy(der, at + 2 + length - (end - start), start, end)
}
