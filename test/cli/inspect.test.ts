import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { freePort } from '../../scripts/free-port.ts'
import {
  checkToken,
  formatTime,
  type InspectRequest,
  reportAsJson,
  reportInWords,
} from '../../src/cli/commands/inspect.ts'
import type { ErrorCode } from '../../src/core/errors.ts'
import { password } from '../support/accounts.ts'
import { runCommand } from '../support/commands.ts'
import { encryptFor, makeEncryptionPair } from '../support/encryption.ts'
import { startHttpServer } from '../support/http-server.ts'
import { TestProcess } from '../support/processes.ts'
import { addUser, serviceEnv } from '../support/services.ts'
import { createTestFolder } from '../support/test-folder.ts'
import { claimsWith, headerWith, issuer, makeKey, mint, withSignature } from '../support/tokens.ts'
import { until } from '../support/until.ts'

const key = makeKey('ES256')
const now_s = Math.floor(Date.now() / 1000)
const fresh = (changes: Record<string, unknown> = {}) =>
  claimsWith({ iat: now_s, exp: now_s + 300, ...changes })
const tokenWith = (changes: Record<string, unknown>) => mint(key, { payload: fresh(changes) })
const good = tokenWith({})

async function inspect(token: string, changes: Partial<InspectRequest> = {}) {
  const request: InspectRequest = {
    token,
    issuer,
    audience: null,
    jwks: { keys: [key.publicJwk] },
    decryptionKeys: [],
    clockToleranceSeconds: 5,
    ...changes,
  }
  const check = await checkToken(request)
  const words = reportInWords(check, request, now_s)
  return { ...check, words, json: JSON.parse(reportAsJson(check, request, now_s)) }
}

t.test('an accepted token: its scopes and remaining lifetime', async (t) => {
  const { words, json } = await inspect(good)
  t.match(words, /^The token is accepted for 5 minutes more\./)
  t.match(words, /allows +"orders:read profile"/)
  t.match(words, /Revocation was not checked/)
  t.match(json, { accepted: true, code: null, signature: 'good', expires_in_s: 300 })
  const tolerated = /accepted until the clock tolerance of 5 seconds has passed/
  // A loaded machine may take seconds, in which the tolerance passes.
  await until('a token that has just expired is accepted', async () => {
    const exp = Math.floor(Date.now() / 1000) - 2
    return tolerated.test((await inspect(tokenWith({ exp }))).words)
  })
  const bound = await inspect(tokenWith({ cnf: { jkt: 'A'.repeat(43) } }))
  t.match(bound.words, /with a DPoP proof of the key that the token is bound to/)
  t.match(bound.json, { accepted: true, needs_proof: true })
})

const refusals: readonly [ErrorCode, string, RegExp, Partial<InspectRequest>?][] = [
  ['token_malformed', 'abc', /three parts between dots\. This text has 1\./],
  [
    'token_malformed',
    good.slice(0, good.lastIndexOf('.')),
    /This text has 2\. The token may be cut off/,
  ],
  ['token_malformed', `x${good}`, /first part is not JSON in base64url/],
  ['token_malformed', 'a'.repeat(9000), /The token has 9000 characters/],
  ['token_malformed', mint(key, { header: headerWith(key, { crit: [] }) }), /"crit"/],
  ['token_algorithm', mint(key, { header: headerWith(key, { alg: 'none' }) }), /algorithm "none"/],
  ['token_type', mint(key, { header: headerWith(key, { typ: 'JWT' }) }), /may be an ID token/],
  ['token_key_unknown', mint(makeKey('ES256', 'other')), /the key "other", which is not in the fi/],
  ['token_signature', withSignature(good, (bytes) => bytes.reverse()), /Do not trust its content/],
  ['token_claims', tokenWith({ jti: undefined, sub: undefined }), /claims are missing: sub, jti\./],
  [
    'token_claims',
    tokenWith({ iss: 'https://x.test' }),
    /"iss" is "https:\/\/x\.test": it must be "/,
  ],
  [
    'token_claims',
    good,
    /"aud" is "https:\/\/api\.test": it must be or hold "b"\./,
    { audience: 'b' },
  ],
  ['token_claims', tokenWith({ exp: 'soon' }), /"exp" is "soon": it must be whole seconds/],
  ['token_expired', tokenWith({ exp: now_s - 180 }), /has expired: .*, 3 minutes ago/],
  ['token_not_yet_valid', tokenWith({ nbf: now_s + 240 }), /valid from .*, in 4 minutes/],
]

for (const [code, token, words, changes] of refusals) {
  t.test(`${code} in words: ${words.source}`, async (t) => {
    const found = await inspect(token, changes)
    t.equal(found.code, code)
    t.match(found.words, `Refused (${code}). `)
    t.match(found.words, words)
    t.match(found.json, { accepted: false, code, reason: words })
  })
}

t.test('the content of a token cannot control the terminal', async (t) => {
  const { words, json } = await inspect(
    tokenWith({ name: '\u001b[31mred\u202e\u{e0001}', '\u0007': 1 }),
  )
  t.notMatch(words.replaceAll('\n', ''), /[\p{Cf}\p{Cc}]/u)
  t.match(words, '\\u001b[31mred\\u202e\\udb40\\udc01')
  t.equal(json.claims.name, '\u001b[31mred\u202e\u{e0001}')
})

t.test('with a file of keys any issuer is accepted', async (t) => {
  const found = await inspect(tokenWith({ iss: 'https://x.test' }), { issuer: null })
  t.equal(found.code, null)
})

t.test('an encrypted token is decrypted with its key, or described as encrypted', async (t) => {
  const [pair, other] = [makeEncryptionPair(), makeEncryptionPair('P-256', 'other')]
  const token = encryptFor(pair, good)
  t.match((await inspect(token)).words, /token_malformed.*The token is encrypted/)
  const opened = await inspect(token, { decryptionKeys: [pair.privateJwk] })
  t.match(opened.words, /^The token is accepted/)
  const withOther = await inspect(token, { decryptionKeys: [other.privateJwk] })
  t.match(withOther.words, /token_key_unknown.*encrypted for the key "enc-P-256"/)
})

const noon_s = Date.UTC(2030, 0, 15, 12) / 1000

t.test('a duration has two units at most', async (t) => {
  for (const [duration_s, distance] of [
    [0, 'less than a second ago'],
    [-3, '3 seconds ago'],
    [1, 'in 1 second'],
    [252, 'in 4 minutes 12 seconds'],
    [3600, 'in 1 hour'],
    [3605, 'in 1 hour'],
    [90_061, 'in 1 day 1 hour'],
  ] as const) {
    t.equal(formatTime(noon_s + duration_s, noon_s).replace(/.*, /, ''), distance)
  }
})

t.test('a time is local; a time that no date can represent is no failure', async (t) => {
  t.match(formatTime(noon_s + 60, noon_s), /^2030-01-1[56] \d\d:\d\d:00 .+, in 1 minute$/)
  t.match(formatTime(Number.MAX_SAFE_INTEGER, noon_s), /not a valid date/)
})

t.test('the token of a login: accepted, and revoked once it is signed out', async (t) => {
  const cwd = createTestFolder(t)
  const port = await freePort()
  const env = {
    ...serviceEnv,
    GATEPASS_ISSUER: `http://127.0.0.1:${port}`,
    GATEPASS_PORT: `${port}`,
    XDG_STATE_HOME: join(cwd, 'state'),
  }
  const gatepass = (args: readonly string[], input = '') => runCommand(args, { cwd, env, input })
  await addUser({ cwd, env })
  await TestProcess.start(t, ['issuer'], { cwd, env }).ready()
  await gatepass(['login', 'ada'], password)

  const own = await gatepass(['token', 'inspect'])
  t.match(own, { code: 0, stdout: /^The token is accepted for [45] minutes/ })
  t.match(own.stdout, `http://127.0.0.1:${port} has not revoked the token.`)
  const token = (await gatepass(['token'])).stdout
  t.notOk(own.stdout.includes(token.trim()), 'it is not repeated')

  await gatepass(['logout'])
  const revoked = await gatepass(['token', 'inspect', '-', '--json'], `Bearer ${token}\n`)
  t.equal(revoked.code, 1)
  t.match(JSON.parse(revoked.stdout), {
    accepted: false,
    code: 'token_revoked',
    reason: /The session was ended/,
    signature: 'good',
    revocations_checked: true,
  })
  t.match(await gatepass(['token', 'inspect']), { code: 1, stderr: /You are not signed in/ })
})

t.test('no part of the token is sent anywhere', async (t) => {
  const received: string[] = []
  const server = await startHttpServer(t, (request, response) => {
    received.push(`${request.method} ${request.url} ${request.rawHeaders.join(' ')}`)
    request.on('data', (body) => received.push(String(body)))
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(
      request.url?.endsWith('jwks.json') ? JSON.stringify({ keys: [key.publicJwk] }) : '',
    )
  })
  const issuer = server.url
  const payload = claimsWith({ iss: issuer, iat: now_s, exp: now_s + 300 })
  const token = mint(key, { payload })
  const cwd = createTestFolder(t)
  const inspect = (...args: string[]) => runCommand(['token', 'inspect', ...args], { cwd })

  const found = await inspect(token, '--issuer', issuer)
  t.match(found, { code: 0, stdout: /Revocation was not checked/ })
  const asked = new Set(received.map((line) => line.split(' ', 2).join(' ')))
  t.same([...asked].sort(), ['GET /.well-known/jwks.json', 'GET /revocations'])
  for (const part of token.split('.')) t.notOk(received.some((line) => line.includes(part)))

  received.length = 0
  // With the byte order mark of an editor on Windows.
  writeFileSync(join(cwd, 'jwks.json'), `\ufeff${JSON.stringify({ keys: [key.publicJwk] })}`)
  t.equal((await inspect(token, '--jwks', 'jwks.json')).code, 0)
  t.same(received, [], 'with a file nobody is asked')
  await server.close()

  const away = await inspect(token, '--issuer', issuer)
  t.match(away, {
    code: 1,
    stdout: /^Not checked \(keys_unavailable\)\. .* The token may be valid\./,
  })
  t.match(away.stdout, /Content \(not verified\):/)
})

t.test('a missing token or an unusable JWK Set is an error that says so', async (t) => {
  const cwd = createTestFolder(t, { 'not.json': '[]', 'empty.json': '{"keys": []}' })
  const inspect = (...args: string[]) => runCommand(['token', 'inspect', ...args], { cwd })
  t.match(await inspect('-'), { code: 1, stderr: /The token is empty/ })
  t.match(await inspect('x', '--jwks', 'not.json'), { code: 2, stderr: /is not a JWK Set/ })
  t.match(await inspect('x', '--jwks', '.'), { code: 2, stderr: / cannot be read \(EISDIR\)/ })
  t.match(await inspect('x', '--jwks', 'empty.json'), { code: 2, stderr: /there are no keys/ })
  t.equal((await inspect('x', 'y')).code, 2)
  const help = (await inspect('--help')).stdout
  t.equal(help.split('--issuer <url>').length, 2, 'the option is listed once')
})
