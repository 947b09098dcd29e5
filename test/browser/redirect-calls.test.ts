import t from 'tap'
import { browser } from '../../src/browser/platform.ts'
import { RedirectCalls } from '../../src/browser/redirect-calls.ts'
import { encode } from '../support/tokens.ts'

const issuer = 'https://auth.example.com'
const token = {
  access_token: 'a.b.c',
  token_type: 'Bearer',
  expires_in: 300,
  scope: '',
  session_id: 'sid',
}

/** The calls of a client whose network gives this response. */
function callsWith(response: Response): RedirectCalls {
  return new RedirectCalls(issuer, 'shop', { ...browser, fetch: async () => response }, null)
}

t.test('the response of an API is returned unchanged', async (t) => {
  const responses = {
    'an error that looks like one of OAuth': new Response('{"error":"out_of_stock"}', {
      status: 409,
    }),
    'bytes that are no text': new Response(new Uint8Array([0xff, 0x00]), { status: 500 }),
    'a match of If-None-Match': new Response(null, { status: 304 }),
    'an opaque response': Response.error(),
  }
  for (const [what, response] of Object.entries(responses)) {
    const request = new Request('https://api.example.com/orders')
    t.equal(await callsWith(response).send(request, token), response, what)
  }
})

t.test('an error of the token endpoint gets the code of the issuer', async (t) => {
  const body = { error: 'temporarily_unavailable', error_description: 'The store is away.' }
  const headers = { 'retry-after': '7' }
  const refused = Response.json(body, { status: 503, headers })
  const request = new Request(`${issuer}/oauth/token`, { method: 'POST' })
  const response = await callsWith(refused).send(request)
  t.same(await response.json(), { code: 'overloaded', title: 'The store is away.' })
  t.match(response, { status: 503 })
  t.equal(response.headers.get('retry-after'), '7')
})

t.test('an ID token is of this issuer, for this client and this request', async (t) => {
  const claims = { iss: issuer, aud: 'shop', nonce: 'n', name: '~~~???' }
  const tokenOf = (changes: object) => `h.${encode({ ...claims, ...changes })}.s`
  const errorOf = (id_token?: string) => {
    const fetch = async () => Response.json({ ...token, id_token })
    const calls = new RedirectCalls(issuer, 'shop', { ...browser, fetch }, null)
    calls.redemption = { redirectUri: '', code: 'c', codeVerifier: 'v', nonce: 'n' }
    return calls.post('/login', {}).catch((error: unknown) => error)
  }
  t.match(tokenOf({}), /[-_].*\.s$/)
  // The token is good, but Node has no IndexedDB to store the session.
  t.match(await errorOf(tokenOf({})), { name: 'TypeError' })
  for (const wrong of [
    tokenOf({ iss: 'https://evil.example' }),
    tokenOf({ aud: 'other' }),
    tokenOf({ aud: ['shop', 'other'] }),
    tokenOf({ nonce: 'of another request' }),
    tokenOf({ nonce: undefined }),
    'h.e30',
    'h',
    undefined,
  ]) {
    t.match(await errorOf(wrong), { code: 'authorization_failed' }, `${wrong}`)
  }
})

t.test('a session that the browser cannot store is ended', async (t) => {
  const seen: string[] = []
  const fetch = async (request: Request) => {
    seen.push(`${request.url} ${new URLSearchParams(await request.text()).get('token')}`)
    return Response.json({ ...token, refresh_token: 'gpr_r' })
  }
  const calls = new RedirectCalls(issuer, 'shop', { ...browser, fetch }, null)
  calls.redemption = {
    redirectUri: 'https://shop.example/',
    code: 'c',
    codeVerifier: 'v',
    nonce: '',
  }
  // Node has no IndexedDB.
  await t.rejects(calls.post('/login', {}), { name: 'TypeError' })
  t.same(seen, [`${issuer}/oauth/token null`, `${issuer}/oauth/revoke gpr_r`])
})
