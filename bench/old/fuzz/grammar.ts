import {
  audience,
  goodClaims,
  headerOf,
  type Material,
  type Members,
  now_s,
  signParts,
  writeObject,
} from './material.ts'
import type { Random } from './random.ts'

/** A token that is really signed, and whether it must be accepted. */
export interface MadeToken {
  readonly token: string
  readonly isGood: boolean
}

type Change = (random: Random, members: Members) => Members | string | Buffer

/** Makes a good token, or one with a single defect: in what it says, or in how that is written. */
export function makeToken(random: Random, { keys }: Material): MadeToken {
  const key = random.pick(keys)
  const header = vary(random, headerOf(key))
  const claims = vary(random, goodClaims)
  const defective = random.pick(['none', 'header', 'claims'] as const)
  const change = random.pick([...writingDefects, defects[defective]].flat())
  const written = (isDefective: boolean, members: Members) =>
    toBytes(isDefective ? change(random, members) : members)
  const token = signParts(
    key,
    written(defective === 'header', header),
    written(defective === 'claims', claims),
  )
  return { token, isGood: defective === 'none' }
}

function toBytes(what: Members | string | Buffer): Buffer {
  if (Buffer.isBuffer(what)) return what
  return Buffer.from(typeof what === 'string' ? what : writeObject(what))
}

/** What says nothing new: another order, and members that nobody knows. */
function vary(random: Random, members: Members): Members {
  const extra: Members = extraNames
    .filter(() => random.oneIn(6))
    .map((name) => [name, anyJson(random, 4)])
  return random.shuffle([...members, ...extra])
}

/** None of them has a meaning to us, in a header or in claims. */
const extraNames = [
  '__proto__',
  'constructor',
  'toString',
  'x',
  '',
  'x"y',
  'ä',
  'jwk',
  'jku',
  'x5c',
]

function anyJson(random: Random, depth: number): string {
  const isLeaf = depth === 0 || random.oneIn(2)
  if (isLeaf) return random.pick(leaves)
  const items = Array.from({ length: random.below(4) }, () => anyJson(random, depth - 1))
  return random.oneIn(2)
    ? `[${items.join(', ')}]`
    : `{${items.map((item, at) => `"${'k'.repeat(at)}": ${item}`).join()}}`
}

const leaves = [
  'null',
  'true',
  '0',
  '-0',
  '1e400',
  '-1.5e-3',
  '12345678901234567890',
  '""',
  '"at+jwt"',
  '"\\u0000\\ud800"',
  '":{\\"\\\\"',
  '{}',
  '[]',
]

const replaced =
  (name: string, ...values: string[]): Change =>
  (random, members) =>
    members.map((member) => (member[0] === name ? [name, random.pick(values)] : member))

const without =
  (name: string): Change =>
  (_random, members) =>
    members.filter((member) => member[0] !== name)

const added =
  (name: string, ...values: string[]): Change =>
  (random, members) =>
    random.shuffle([...members, [name, random.pick(values)]])

const noText = ['null', 'true', '0', '[]', '{}', '["at+jwt"]', '1e400']
const noTime = ['null', '"1800000300"', '-1', '1e400', '1800000300.5', '[]', '9007199254740993']

/** What makes one kind of part wrong. */
const defects: Readonly<Record<'none' | 'header' | 'claims', readonly Change[]>> = {
  none: [(_random, members) => members],
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
    replaced('iss', '"https://auth.example.com/"', '["https://auth.example.com"]', '""'),
    replaced(
      'aud',
      '""',
      '[]',
      `[["${audience}"]]`,
      `["${audience}", 1]`,
      '"https://other"',
      'null',
    ),
    replaced('exp', ...noTime, `${now_s - 5}`, '0'),
    replaced('iat', ...noTime, `${now_s + 6}`),
    added('nbf', ...noTime, `${now_s + 6}`),
  ],
}

/** What makes any JSON object unacceptable, whatever it says. */
const writingDefects: readonly Change[] = [
  (random, members) => {
    const [name, json] = random.pick(members)
    return random.shuffle([...members, [name, random.oneIn(2) ? json : anyJson(random, 1)]])
  },
  (random, members) => [...members, ['deep', `${'['.repeat(20 + random.below(200))}`]],
  (random, members) => {
    const depth = 20 + random.below(200)
    return [...members, ['deep', `${'['.repeat(depth)}${']'.repeat(depth)}`]]
  },
  (random, members) => {
    const text = writeObject(members)
    return text.slice(0, random.below(text.length))
  },
  (_random, members) => `[${writeObject(members)}]`,
  (random, members) => `${writeObject(members)}${random.pick(['}', ',', '\0', '{}', '//', 'x'])}`,
  (_random, members) => `\ufeff${writeObject(members)}`,
  (_random, members) => writeObject(members).replaceAll('"', "'"),
  (_random, members) => Buffer.from(writeObject(members), 'utf16le'),
  (random, members) => {
    const bytes = Buffer.from(writeObject([...members, ['y', '"  "']]))
    bytes.set([random.pick([0xff, 0xc0, 0x80, 0xed])], bytes.lastIndexOf('  '))
    return bytes
  },
  (random) => random.pick(['', ' ', 'null', '""', '0', '[]', '{}', '{', 'undefined', 'NaN']),
]
