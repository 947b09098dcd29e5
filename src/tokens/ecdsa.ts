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
  const r = integer(raw.subarray(0, numberBytes))
  const s = integer(raw.subarray(numberBytes))
  return Buffer.concat([Buffer.from([sequenceTag, r.length + s.length]), r, s])
}

/** The shortest form of a number that is not negative. */
function integer(number: Buffer): Buffer {
  let start = 0
  while (start < number.length - 1 && number[start] === 0) start += 1
  const digits = number.subarray(start)
  const isSignBitSet = (digits[0] ?? 0) >= 0x80
  const head = isSignBitSet ? [integerTag, digits.length + 1, 0] : [integerTag, digits.length]
  return Buffer.concat([Buffer.from(head), digits])
}
