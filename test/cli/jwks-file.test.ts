import { chmodSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { TestProcess, untilStatus } from '../support/processes.ts'
import { serviceEnv } from '../support/services.ts'
import { createTestFolder } from '../support/test-folder.ts'
import { audience, bearer, claimsWith, makeKey, mint } from '../support/tokens.ts'
import { JwksServer, serve } from '../verifier/jwks-server.ts'

t.test('a verifier saves its keys in a file and starts from it without an issuer', async (t) => {
  const key = makeKey('ES256')
  const server = await JwksServer.open(t, serve([key]))
  const cwd = createTestFolder(t)
  const env = {
    ...serviceEnv,
    GATEPASS_ISSUER: server.issuer,
    GATEPASS_AUDIENCE: audience,
    GATEPASS_JWKS_FILE: 'jwks.json',
  }
  const now_s = Math.floor(Date.now() / 1000)
  const payload = claimsWith({ iss: server.issuer, iat: now_s, exp: now_s + 300 })
  const headers = bearer(mint(key, { payload }))

  /** Starts a verifier, has it check a token, and stops it. */
  const verifyOnce = async () => {
    const verifier = TestProcess.start(t, ['verifier'], { cwd, env })
    const { url, adminUrl } = await verifier.ready()
    await untilStatus(`${adminUrl}/readyz`, 200)
    const { status } = await fetch(`${url}/verify`, { headers })
    t.equal(await verifier.stop(), 0)
    return { status, isFromFile: verifier.stdout.includes('using the keys in the file') }
  }

  t.same(await verifyOnce(), { status: 200, isFromFile: false })
  t.same(readdirSync(cwd), ['jwks.json'])
  t.same(JSON.parse(readFileSync(join(cwd, 'jwks.json'), 'utf8')).keys, [key.publicJwk])
  server.close()
  t.same(await verifyOnce(), { status: 200, isFromFile: true })

  chmodSync(join(cwd, 'jwks.json'), 0o666)
  const verifier = TestProcess.start(t, ['verifier'], { cwd, env })
  const line = await verifier.line(/"msg":"the file of keys cannot be used/)
  t.match(JSON.parse(line), { level: 'warn', reason: /other users can write it/ })
})
