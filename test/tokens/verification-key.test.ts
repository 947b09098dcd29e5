import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { calculateJwkThumbprint } from 'jose'
import t from 'tap'
import { type Algorithm, algorithmNames } from '../../src/tokens/algorithms.ts'
import {
  importVerificationKey,
  isEd25519PublicPoint,
  isThumbprint,
  jwkThumbprint,
} from '../../src/tokens/verification-key.ts'
import { base64url, primorial, rocaNumber } from '../support/roca.ts'
import { makeKey } from '../support/tokens.ts'

const keys = new Map(algorithmNames.map((alg) => [alg, makeKey(alg).publicJwk]))

/** A good key of an algorithm with members changed; one given as undefined is left out. */
function jwkWith(alg: Algorithm, changes: Record<string, unknown> = {}): Record<string, unknown> {
  const jwk: Record<string, unknown> = { ...keys.get(alg), ...changes }
  return Object.fromEntries(Object.entries(jwk).filter(([, value]) => value !== undefined))
}

function reasonOf(jwk: unknown): string {
  const imported = importVerificationKey(jwk)
  return imported.ok ? 'accepted' : imported.reason
}

function rsaJwk(modulusLength: number, publicExponent = 65537): Record<string, unknown> {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength, publicExponent })
  return { ...publicKey.export({ format: 'jwk' }), kid: 'rsa', alg: 'RS256' }
}

t.test('binds a key to the one algorithm it names', async (t) => {
  const signatureBytes = { ES256: 64, Ed25519: 64, RS256: 256, PS256: 256, 'ML-DSA-44': 2420 }
  for (const alg of algorithmNames) {
    const imported = importVerificationKey(jwkWith(alg))
    t.ok(imported.ok, alg)
    if (!imported.ok) continue
    t.match(imported.key, { alg, kid: `key-${alg}`, signatureBytes: signatureBytes[alg] })
    t.equal(imported.key.key.type, 'public')
  }
})

t.test('accepts further members of a published key', async (t) => {
  const more = { use: undefined, key_ops: ['verify'], x5c: ['AAAA'], x5t: 'AAAA', ext: true }
  t.equal(reasonOf(jwkWith('ES256', more)), 'accepted')
})

t.test('refuses a key without a kid or an accepted alg', async (t) => {
  for (const kid of [undefined, '', 1, 'a\nb', 'x'.repeat(257)]) {
    t.match(reasonOf(jwkWith('ES256', { kid })), 'kid')
  }
  for (const alg of [undefined, 'none', 'HS256', 'ES384', 'EdDSA', 'RS512', 1]) {
    t.match(reasonOf(jwkWith('ES256', { alg })), 'its alg must be one of')
  }
})

t.test('refuses a key of another type than its algorithm', async (t) => {
  for (const of of algorithmNames) {
    for (const alg of algorithmNames) {
      const sameType =
        of === alg ||
        (of.endsWith('S256') && alg.endsWith('S256') && of !== 'ES256' && alg !== 'ES256')
      t.equal(reasonOf(jwkWith(of, { alg })) === 'accepted', sameType, `${of} as ${alg}`)
    }
  }
  t.match(reasonOf(jwkWith('ES256', { crv: 'P-384' })), 'crv')
  t.match(reasonOf(jwkWith('Ed25519', { crv: 'X25519' })), 'crv')
  t.match(reasonOf(jwkWith('ES256', { crv: undefined })), 'crv')
})

t.test('refuses secrets, private keys and other values', async (t) => {
  t.not(reasonOf({ kty: 'oct', k: 'AAAA', kid: 'a', alg: 'HS256' }), 'accepted')
  t.not(reasonOf({ kty: 'oct', k: 'AAAA', kid: 'a', alg: 'ES256' }), 'accepted')
  for (const member of ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'priv', 'k']) {
    t.match(reasonOf(jwkWith('RS256', { [member]: 'AAAA' })), 'not a public key', member)
  }
  for (const value of [null, undefined, 'secret', '', 1, [], Buffer.from('secret')]) {
    t.not(reasonOf(value), 'accepted')
  }
})

t.test('refuses a key for another purpose', async (t) => {
  for (const use of ['enc', '', null]) t.match(reasonOf(jwkWith('ES256', { use })), 'use')
  for (const key_ops of [[], ['sign'], 'verify', null]) {
    t.match(reasonOf(jwkWith('ES256', { key_ops })), 'key_ops')
  }
})

t.test('refuses weak and costly RSA keys', async (t) => {
  t.match(reasonOf(rsaJwk(1024)), 'modulus')
  t.match(reasonOf(rsaJwk(2040)), 'modulus')
  t.equal(reasonOf(rsaJwk(2048, 3)), 'accepted')
  const tooLong = Buffer.alloc(1025, 0xff).toString('base64url')
  t.match(reasonOf(jwkWith('RS256', { n: tooLong })), 'modulus')
  for (const [e, why] of [
    ['AQ', 'odd'], // 1
    ['Ag', 'odd'], // 2
    ['AQAA', 'odd'], // 65536
    ['AQAAAAE', 'at most'], // 2 ** 32 + 1
    ['AAEAAQ', 'leading zero'],
    ['', 'public members'],
  ]) {
    t.match(reasonOf(jwkWith('RS256', { e })), why, `e = ${e}`)
    t.match(reasonOf(jwkWith('PS256', { e })), why, `e = ${e}`)
  }
  t.match(reasonOf(jwkWith('RS256', { n: `AAAA${keys.get('RS256')?.n}` })), 'leading zero')
})

t.test('A26: refuses moduli with the ROCA fingerprint, and no others', async (t) => {
  // By how many primes the library takes for keys of 2048, 3072, 3968 and 4096 bits.
  for (const [bits, count] of [
    [1024, 126],
    [1536, 126],
    [1984, 225],
    [2048, 225],
  ] as const) {
    const product = primorial(count)
    const modulus = rocaNumber(bits, product) * rocaNumber(bits, product)
    const jwk = jwkWith('RS256', { n: base64url(modulus) })
    t.match(reasonOf(jwk), 'ROCA', `${2 * bits} bits`)
    t.equal(reasonOf({ ...jwk, n: base64url(modulus + 2n) }), 'accepted', 'its neighbour')
  }
  for (let n = 0; n < 1000; n += 1) {
    const bytes = randomBytes(256)
    bytes.writeUInt8((bytes[0] ?? 0) | 0x80, 0)
    bytes.writeUInt8((bytes[255] ?? 0) | 1, 255)
    const reason = reasonOf(jwkWith('RS256', { n: bytes.toString('base64url') }))
    if (reason !== 'accepted') t.fail(`${reason}: ${bytes.toString('hex')}`)
  }
})

t.test('refuses points that are not on the curve', async (t) => {
  const zero = Buffer.alloc(32).toString('base64url')
  const { x, y } = jwkWith('ES256')
  t.match(reasonOf(jwkWith('ES256', { x: y })), 'not a valid public key')
  t.match(reasonOf(jwkWith('ES256', { x: zero, y: zero })), 'not a valid public key')
  t.match(reasonOf(jwkWith('ES256', { x: `AAAA${x}` })), '32 bytes')
  t.match(reasonOf(jwkWith('Ed25519', { x: zero })), 'point')
  t.match(reasonOf(jwkWith('Ed25519', { x: Buffer.alloc(32, 255).toString('base64url') })), 'point')
  t.match(reasonOf(jwkWith('Ed25519', { x: 'AAAA' })), '32 bytes')
})

t.test('an Ed25519 key is a point of large order on the curve', async (t) => {
  const zeros = '00'.repeat(30)
  // The encodings of the points of order 1, 2, 4 and 8.
  for (const hex of [
    `0100${zeros}`,
    `ecff${'ff'.repeat(29)}7f`,
    `0000${zeros}`,
    `0000${'00'.repeat(29)}80`,
    '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
    '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85',
    'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
    'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa',
  ]) {
    t.notOk(isEd25519PublicPoint(Buffer.from(hex, 'hex')), hex)
  }
  t.notOk(isEd25519PublicPoint(Buffer.from(`0200${zeros}`, 'hex')), 'no point has y = 2')
  t.notOk(isEd25519PublicPoint(Buffer.from(`eeff${'ff'.repeat(29)}7f`, 'hex')), 'y = p + 1')
  // By Euler's criterion, which the check itself does not use: half of all y are on the curve.
  const p = 2n ** 255n - 19n
  const power = (base: bigint, exponent: bigint): bigint => {
    if (exponent === 0n) return 1n
    const root = power((base * base) % p, exponent / 2n)
    return exponent % 2n === 1n ? (root * base) % p : root
  }
  const d = (p - ((121665n * power(121666n, p - 2n)) % p)) % p
  for (let count = 0; count < 50; count += 1) {
    const encoded = randomBytes(32)
    const y = BigInt(`0x${Buffer.from(encoded).reverse().toString('hex')}`) % 2n ** 255n
    const xSquared = (y * y - 1n + p) * power(d * y * y + 1n, p - 2n)
    const isOnCurve = y < p && power(xSquared % p, (p - 1n) / 2n) !== p - 1n
    t.equal(isEd25519PublicPoint(encoded), isOnCurve, encoded.toString('hex'))
  }
  for (let count = 0; count < 20; count += 1) {
    const { x } = generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' })
    t.ok(isEd25519PublicPoint(Buffer.from(x ?? '', 'base64url')))
  }
})

t.test('refuses public members that are missing, empty or not canonical', async (t) => {
  for (const [alg, member] of [
    ['ES256', 'y'],
    ['Ed25519', 'x'],
    ['RS256', 'n'],
    ['ML-DSA-44', 'pub'],
  ] as const) {
    const text = keys.get(alg)?.[member]
    for (const value of [undefined, '', 1, `${text}=`, ` ${text}`, [text]]) {
      t.match(
        reasonOf(jwkWith(alg, { [member]: value })),
        'public members',
        `${alg}, ${typeof value}`,
      )
    }
  }
  t.not(reasonOf(jwkWith('ML-DSA-44', { pub: 'AAAA' })), 'accepted')
})

t.test('the thumbprint is that of RFC 7638 §3.1', async (t) => {
  const jwk = {
    kty: 'RSA',
    n: '0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw',
    e: 'AQAB',
    alg: 'RS256',
    kid: '2011-04-29',
  }
  t.equal(jwkThumbprint(jwk, 'RS256'), 'NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs')
})

for (const alg of algorithmNames) {
  t.test(`the thumbprint of a key for ${alg} is that of jose`, async (t) => {
    const { publicJwk } = makeKey(alg)
    const ours = jwkThumbprint(publicJwk, alg)
    t.equal(ours, await calculateJwkThumbprint(publicJwk))
    t.ok(isThumbprint(ours))
    const { x: _x, n: _n, pub: _pub, ...incomplete } = publicJwk
    t.equal(jwkThumbprint(incomplete, alg), null)
    t.equal(jwkThumbprint({ ...publicJwk, kty: 'oct' }, alg), null)
  })
}

t.test('recognizes a thumbprint', async (t) => {
  const good = jwkThumbprint(makeKey('ES256').publicJwk, 'ES256') ?? ''
  // The last character carries two bits that must be zero.
  const twin = `${good.slice(0, -1)}${good.endsWith('B') ? 'C' : 'B'}`
  for (const bad of [
    undefined,
    null,
    7,
    '',
    `${good}A`,
    good.slice(1),
    `${good.slice(1)}=`,
    twin,
  ]) {
    t.notOk(isThumbprint(bad), String(bad))
  }
})
