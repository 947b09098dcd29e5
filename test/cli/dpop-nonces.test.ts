import t from 'tap'
import { runCommand } from '../support/commands.ts'
import { makeProof, makeProofKey } from '../support/dpop.ts'
import { postJson } from '../support/post-json.ts'
import { TestProcess } from '../support/processes.ts'
import { createTestFolder } from '../support/test-folder.ts'

const password = 'correct horse battery staple'
const issuerUrl = 'https://auth.example.com'
const env = {
  GATEPASS_ISSUER: issuerUrl,
  GATEPASS_SECRET: 'a-secret-of-at-least-thirty-two-characters',
  GATEPASS_PORT: '0',
  GATEPASS_ADMIN_PORT: '0',
  GATEPASS_ARGON2_MEMORY_KIB: '8',
}

t.test('two issuers accept the nonces of each other, and none of a third', async (t) => {
  const cwd = createTestFolder(t)
  const key = await makeProofKey()
  await runCommand(['users', 'add', 'ada'], { cwd, env, input: password })
  const start = async (changes: Record<string, string>) => {
    const issuer = TestProcess.start(t, ['issuer'], { cwd, env: { ...env, ...changes } })
    const { port } = await issuer.ready()
    return async (nonce?: string) => {
      const claims = nonce === undefined ? {} : { nonce }
      const dpop = await makeProof(key, { htm: 'POST', htu: `${issuerUrl}/login`, claims })
      const url = `http://127.0.0.1:${port}/login`
      const response = await postJson(url, { username: 'ada', password }, { dpop })
      const { code = 'ok' } = (await response.json()) as { code?: string }
      return { code, next: response.headers.get('dpop-nonce') ?? undefined }
    }
  }
  const required = { GATEPASS_DPOP_NONCE: 'required' }
  const one = await start(required)
  const other = await start(required)
  const third = await start({
    ...required,
    GATEPASS_SECRET: 'another-secret-of-thirty-two-letters',
    GATEPASS_KEYS_SECRET: env.GATEPASS_SECRET,
  })
  const relaxed = await start({})

  const { code, next } = await one()
  t.equal(code, 'use_dpop_nonce')
  t.equal((await other(next)).code, 'ok')
  t.equal((await third(next)).code, 'use_dpop_nonce')
  t.same(await relaxed(), { code: 'ok', next: undefined }, 'it is off unless it is set')
})
