import { encryptFor, makeEncryptionPair } from '../support/encryption.ts'
import fc from '../support/properties.ts'
import { audience, claimsWith, headerWith, issuer, mint, now_s } from '../support/tokens.ts'
import { damaged, noise } from './damaged-tokens.ts'
import { keyOf } from './harness.ts'

/** A text for a verifier, and whether it must be accepted. */
export interface Input {
  readonly text: string
  readonly isGood: boolean
  /** Whether it is for a verifier that accepts only encrypted tokens. */
  readonly isEncrypted: boolean
}

/** Members of a JSON object in their order: names, and values as JSON text. */
type Members = readonly (readonly [name: string, json: string])[]
type Part = string | Buffer
type Change = (members: Members) => fc.Arbitrary<Members | Part>

export const encryptionPair = makeEncryptionPair('X25519')
const keys = [keyOf('ES256'), keyOf('Ed25519')]
const signed = keys.map((key) => mint(key))
const encrypted = signed.map((token) => encryptFor(encryptionPair, token))

/** Tokens with one defect or none, damaged tokens, and texts that are no tokens. */
export function inputs(): fc.Arbitrary<Input> {
  const kind = fc.oneof({ weight: 4, arbitrary: pick(false) }, { weight: 1, arbitrary: pick(true) })
  return kind.chain((isEncrypted) => {
    const [good, others] = isEncrypted ? [encrypted, signed] : [signed, encrypted]
    const written = madeTokens().map(({ token, isGood }) => ({
      text: isEncrypted ? encryptFor(encryptionPair, token) : token,
      isGood,
    }))
    const spoilt = fc
      .tuple(pick(...good), pick(...signed, ...encrypted))
      .chain(([text, other]) => damaged(text, other))
      .map((text) => ({ text, isGood: good.includes(text) }))
    const strange = fc.oneof(pick(...others), noise).map((text) => ({ text, isGood: false }))
    return fc
      .oneof(
        { weight: 5, arbitrary: spoilt },
        { weight: 4, arbitrary: written },
        { weight: 1, arbitrary: strange },
      )
      .map((input) => ({ ...input, isEncrypted }))
  })
}

/** A signed token that is good, or has one defect in the content or the syntax of one part. */
function madeTokens(): fc.Arbitrary<{ token: string; isGood: boolean }> {
  return fc.tuple(pick(...keys), pick('none', 'header', 'claims')).chain(([key, defective]) => {
    const [header, payload] = (['header', 'claims'] as const).map((name) => {
      const good = varied(members(name === 'header' ? headerWith(key) : claimsWith()))
      if (defective !== name) return good.map(written)
      const change = pick(...writingDefects, ...defects[name])
      return fc.tuple(good, change).chain(([good, change]) => change(good).map(written))
    }) as [fc.Arbitrary<Part>, fc.Arbitrary<Part>]
    return fc.record({ header, payload }).map((parts) => ({
      token: mint(key, parts),
      isGood: defective === 'none',
    }))
  })
}

function members(object: object): Members {
  return Object.entries(object).map(([name, value]) => [name, JSON.stringify(value)])
}

function written(part: Members | Part): Part {
  return typeof part === 'string' || Buffer.isBuffer(part) ? part : textOf(part)
}

function textOf(members: Members): string {
  return `{${members.map(([name, json]) => `${JSON.stringify(name)}:${json}`).join(',')}}`
}

function pick<const T>(...values: readonly T[]): fc.Arbitrary<T> {
  return fc.constantFrom(...values)
}

function shuffled(members: Members): fc.Arbitrary<Members> {
  return fc.shuffledSubarray([...members], { minLength: members.length })
}

const json = fc.oneof(
  pick('null', '-0', '1e400', '-1.5e-3', '12345678901234567890', '"at+jwt"', '":{\\"\\\\"'),
  pick('{}', '[ ]', '"\\u0000\\ud800"', '{"": [{"k": []}]}'),
  // JSON.parse may misread the name after one with a backslash.
  fc.json({ maxDepth: 3 }).filter((text) => !text.includes('\\\\')),
)

/** None of them has a meaning, in a header or in claims. */
const extraNames = pick(
  ...['__proto__', 'constructor', 'toString', 'x', '', 'x"y', 'ä', 'jwk', 'jku', 'x5c'],
)

/** The same said otherwise: in another order, and with members that mean nothing. */
function varied(base: Members): fc.Arbitrary<Members> {
  return fc
    .uniqueArray(fc.tuple(extraNames, json), { maxLength: 3, selector: ([name]) => name })
    .chain((extra) => shuffled([...base, ...extra]))
}

function replaced(name: string, ...values: string[]): Change {
  return (members) =>
    pick(...values).map((json) =>
      members.map((member) => (member[0] === name ? [name, json] : member)),
    )
}

function without(name: string): Change {
  return (members) => pick(members.filter((member) => member[0] !== name))
}

function added(name: string, ...values: string[]): Change {
  return (members) => pick(...values).chain((json) => shuffled([...members, [name, json]]))
}

const noText = ['null', 'true', '0', '[]', '{}', '["at+jwt"]', '1e400']
const noTime = ['null', `"${now_s}"`, '-1', '1e400', `${now_s}.5`, '[]', '9007199254740993']

/** Makes one kind of part say something wrong. */
const defects = {
  header: [
    ...['alg', 'typ', 'kid'].map(without),
    replaced('alg', ...noText, '"none"', '"HS256"', '"es256"', '"RS256"', '"ECDH-ES"', '""'),
    replaced('typ', ...noText, '"JWT"', '"dpop+jwt"', '"at+jwt "', '""'),
    replaced('kid', ...noText, '"other"', '"__proto__"', '""', '"key-ES256\\u0000"', '"key-es256"'),
    added('crit', '[]', '["exp"]', 'null', '"x"', '["b64"]'),
  ],
  claims: [
    ...['iss', 'sub', 'aud', 'exp', 'iat', 'jti', 'client_id'].map(without),
    ...['iss', 'sub', 'jti', 'client_id', 'scope', 'sid'].map((name) => replaced(name, ...noText)),
    replaced('iss', `"${issuer}/"`, `["${issuer}"]`, '""'),
    replaced('aud', '""', '[]', `[["${audience}"]]`, `["${audience}", 1]`, '"https://other"'),
    ...['exp', 'iat'].map((name) => replaced(name, ...noTime)),
    added('nbf', ...noTime),
    replaced('exp', `${now_s - 5}`, '0'),
    replaced('iat', `${now_s + 6}`),
    added('nbf', `${now_s + 6}`),
  ],
}

/** Each makes a JSON object unacceptable, whatever it says. */
const writingDefects: readonly Change[] = [
  (members) =>
    fc
      .tuple(pick(...members), fc.option(json))
      .chain(([[name, same], other]) => shuffled([...members, [name, other ?? same]])),
  (members) => depths.map((depth) => [...members, ['deep', '['.repeat(depth)]]),
  (members) =>
    depths.map((depth) => [...members, ['deep', `${'['.repeat(depth)}${']'.repeat(depth)}`]]),
  (members) => {
    const text = textOf(members)
    return fc.nat({ max: text.length - 1 }).map((end) => text.slice(0, end))
  },
  (members) => pick('}', ',', '\0', '{}', '//', 'x').map((end) => textOf(members) + end),
  (members) => pick(`[${textOf(members)}]`, `\ufeff${textOf(members)}`),
  (members) => pick(textOf(members).replaceAll('"', "'")),
  (members) => pick(Buffer.from(textOf(members), 'utf16le')),
  (members) =>
    pick(0xff, 0xc0, 0x80, 0xed).map((byte) => {
      const bytes = Buffer.from(textOf([...members, ['y', '"  "']]))
      bytes[bytes.lastIndexOf('  ')] = byte
      return bytes
    }),
  () => pick('', ' ', 'null', '""', '0', '[]', '{}', '{', 'undefined', 'NaN'),
]

const depths = fc.integer({ min: 20, max: 220 })
