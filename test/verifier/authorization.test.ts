import t from 'tap'
import { authorizationScheme, presentedToken } from '../../src/verifier/authorization.ts'

const target = { method: 'GET', uri: 'https://api.test/' }
const tokenOf = (authorization: string | undefined, dpop?: string | string[]) =>
  presentedToken({ authorization, dpop }, () => target)

t.test('takes the one credential of the Bearer scheme', async (t) => {
  for (const header of ['Bearer a.b.c', 'bearer a.b.c', 'BEARER a.b.c']) {
    t.same(tokenOf(header, 'a proof'), { token: 'a.b.c', dpop: undefined })
  }
})

t.test('takes the one credential of the DPoP scheme, with its proof and target', async (t) => {
  for (const header of ['DPoP a.b.c', 'dpop a.b.c', 'DPOP a.b.c']) {
    t.same(tokenOf(header, 'x.y.z'), { token: 'a.b.c', dpop: { proof: 'x.y.z', ...target } })
    t.same(tokenOf(header), { token: 'a.b.c', dpop: { proof: undefined, ...target } })
    t.match(tokenOf(header, ['x', 'y']), { dpop: { proof: 'x,y' } })
  }
})

t.test('asks where a request went for a DPoP token alone', async (t) => {
  const target = () => t.fail('it was asked')
  presentedToken({ authorization: 'Bearer a.b.c' }, target as never)
  t.end()
})

t.test('no header, or another scheme, is no token', async (t) => {
  for (const header of [undefined, '', 'Basic YTpi', 'a.b.c', 'Bearer,', 'Bearera.b.c', 'DPoP,']) {
    t.throws(() => tokenOf(header), { code: 'token_missing' }, `${header}`)
    t.equal(authorizationScheme(header), null)
  }
})

t.test('refuses anything but one credential', async (t) => {
  for (const scheme of ['Bearer', 'DPoP']) {
    for (const rest of ['', ' ', '  a.b.c', ' a.b.c ', ' a b', ' a.b.c, Basic x']) {
      t.throws(() => tokenOf(`${scheme}${rest}`), { code: 'token_malformed' }, `${scheme}${rest}`)
      t.equal(authorizationScheme(`${scheme}${rest}`), scheme)
    }
  }
})
