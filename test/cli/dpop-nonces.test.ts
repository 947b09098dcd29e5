import t from 'tap'
import { password } from '../support/accounts.ts'
import { makeProof, makeProofKey } from '../support/dpop.ts'
import { postJson } from '../support/post-json.ts'
import { TestProcess } from '../support/processes.ts'
import { addUser, serviceEnv } from '../support/services.ts'
import { createTestFolder } from '../support/test-folder.ts'

const issuerUrl = 'https://auth.example.com'
const env = { ...serviceEnv, GATEPASS_ISSUER: issuerUrl }

t.test('a replica accepts the nonces of another', async (t) => {
  const cwd = createTestFolder(t)
  const key = await makeProofKey()
  await addUser({ cwd, env })
  const start = async (changes: Record<string, string>) => {
    const issuer = TestProcess.start(t, ['issuer'], { cwd, env: { ...env, ...changes } })
    const { url } = await issuer.ready()
    return async (nonce?: string) => {
      const claims = nonce === undefined ? {} : { nonce }
      const dpop = await makeProof(key, { htm: 'POST', htu: `${issuerUrl}/login`, claims })
      const response = await postJson(`${url}/login`, { username: 'ada', password }, { dpop })
      const { code = 'ok' } = (await response.json()) as { code?: string }
      return { code, next: response.headers.get('dpop-nonce') ?? undefined }
    }
  }
  const required = { GATEPASS_DPOP_NONCE: 'required' }
  const one = await start(required)
  const other = await start(required)
  const relaxed = await start({})

  const { code, next } = await one()
  t.equal(code, 'use_dpop_nonce')
  t.equal((await other(next)).code, 'ok')
  t.same(await relaxed(), { code: 'ok', next: undefined }, 'it is off unless it is set')
})
