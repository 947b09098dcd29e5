import fc from '../support/properties.ts'

/** Damages a text in one way, possibly with a part of another text. */
type Damage = (text: string, other: string) => fc.Arbitrary<string>

/** A text changed in one to four ways. The result may equal the text. */
export function damaged(text: string, other: string): fc.Arbitrary<string> {
  const changed = (text: string, times: number): fc.Arbitrary<string> =>
    fc
      .constantFrom(...damages)
      .chain((damage) => damage(text, other))
      .chain((text) => (times === 1 ? fc.constant(text) : changed(text, times - 1)))
  return fc.integer({ min: 1, max: 4 }).chain((times) => changed(text, times))
}

const tokenLike = fc.constantFrom(...'.....ABCabcxyz0189-_=+/~!')

/** Texts of any characters, or of those that tokens have. */
export const noise: fc.Arbitrary<string> = fc.oneof(
  fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
  fc.string({ unit: tokenLike, maxLength: 300 }),
)

const odd = fc.constantFrom(
  ...['..', '%20', '😀', '\ud800', '=='],
  ...'=+/-_.,"\\ \t\r\n\0Aa0é\u00a0\u2028\ufeff%',
)
const headers = fc.constantFrom('{}', '{"alg":"none"}', '{"alg":"HS256","typ":"at+jwt"}', 'null')

const placeIn = (text: string) => fc.nat({ max: Math.max(0, text.length - 1) })

/** Replaces `count` characters at any place. */
function spliced(text: string, count: number, inserted: string): fc.Arbitrary<string> {
  return placeIn(text).map((at) => text.slice(0, at) + inserted + text.slice(at + count))
}

/** Changes one part of a token. */
function withPart(text: string, change: (part: string) => fc.Arbitrary<string>) {
  const parts = text.split('.')
  return fc
    .nat({ max: parts.length - 1 })
    .chain((at) => change(parts[at] ?? '').map((part) => parts.with(at, part).join('.')))
}

const damages: readonly Damage[] = [
  // Characters are replaced, inserted, changed by a bit, removed, or repeated.
  (text) => odd.chain((odd) => spliced(text, 1, odd)),
  (text) => odd.chain((odd) => spliced(text, 0, odd)),
  (text) =>
    fc.tuple(placeIn(text), fc.nat({ max: 7 })).map(([at, bit]) => {
      const code = String.fromCharCode((text.charCodeAt(at) || 0) ^ (1 << bit))
      return text.slice(0, at) + code + text.slice(at + 1)
    }),
  (text) => fc.integer({ min: 1, max: 8 }).chain((count) => spliced(text, count, '')),
  (text) =>
    fc
      .tuple(placeIn(text), fc.nat({ max: 40 }))
      .chain(([at, length]) => spliced(text, 0, text.slice(at, at + length))),
  (text) => placeIn(text).map((end) => text.slice(0, end)),
  (text) => odd.map((odd) => odd + text),
  (text) => odd.map((odd) => text + odd),
  // The unused bits of the last character of a part change.
  (text) =>
    withPart(text, (part) =>
      fc.constantFrom(...'BCDQRgh-_').map((last) => part.slice(0, -1) + last),
    ),
  // A whole part is emptied, replaced or moved, or one of its bytes changes.
  (text) => withPart(text, () => fc.constant('')),
  (text, other) => withPart(text, () => fc.constantFrom(...other.split('.'))),
  (text) => fc.shuffledSubarray(text.split('.')).map((parts) => parts.join('.')),
  (text) =>
    headers.map((header) =>
      text.split('.').with(0, Buffer.from(header).toString('base64url')).join('.'),
    ),
  (text) =>
    withPart(text, (part) =>
      fc.tuple(placeIn(part), fc.nat({ max: 255 })).map(([at, byte]) => {
        const bytes = Buffer.from(part, 'base64url')
        bytes[at % bytes.length] = byte
        return bytes.toString('base64url')
      }),
    ),
  // As a whole.
  (text, other) =>
    fc.constantFrom(text.toLowerCase(), text.toUpperCase(), text.repeat(2), `${text}.${other}`),
  (text) => fc.constantFrom('..', '', ',', '.\n', '%2E').map((dot) => text.replaceAll('.', dot)),
]
