import { calculateJwkThumbprint } from 'jose'
import t from 'tap'
import { algorithmNames } from '../../src/tokens/algorithms.ts'
import { isThumbprint, jwkThumbprint } from '../../src/tokens/jwk-thumbprint.ts'
import { makeKey } from '../support/tokens.ts'

t.test('is that of RFC 7638 §3.1', async (t) => {
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
  t.test(`is what another library makes of a key for ${alg}`, async (t) => {
    const { publicJwk } = makeKey(alg)
    const ours = jwkThumbprint(publicJwk, alg)
    t.equal(ours, await calculateJwkThumbprint(publicJwk))
    t.ok(isThumbprint(ours))
    const { x: _x, n: _n, pub: _pub, ...incomplete } = publicJwk
    t.equal(jwkThumbprint(incomplete, alg), null)
    t.equal(jwkThumbprint({ ...publicJwk, kty: 'oct' }, alg), null)
  })
}

t.test('tells the form of a thumbprint', async (t) => {
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
