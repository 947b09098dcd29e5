import t from 'tap'
import { bearerToken } from '../../src/verifier/bearer.ts'

t.test('takes the one credential of the Bearer scheme', async (t) => {
  for (const header of ['Bearer a.b.c', 'bearer a.b.c', 'BEARER a.b.c']) {
    t.equal(bearerToken(header), 'a.b.c')
  }
})

t.test('no header, or another scheme, is no token', async (t) => {
  for (const header of [
    undefined,
    '',
    'Basic YTpi',
    'DPoP a.b.c',
    'a.b.c',
    'Bearer,',
    'Bearera.b.c',
  ]) {
    t.throws(() => bearerToken(header), { code: 'token_missing' }, `${header}`)
  }
})

t.test('refuses anything but one credential', async (t) => {
  for (const header of [
    'Bearer',
    'Bearer ',
    'Bearer  a.b.c',
    'Bearer a.b.c ',
    'Bearer a b',
    'Bearer a.b.c, Basic x',
  ]) {
    t.throws(() => bearerToken(header), { code: 'token_malformed' }, header)
  }
})
