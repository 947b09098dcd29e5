import t, { type Test } from 'tap'
import { freePort } from '../../../scripts/free-port.ts'
import { createVerifier } from '../../../src/verifier/index.ts'
import { postJson } from '../../support/post-json.ts'
import { TestProcess } from '../../support/processes.ts'
import { addUser, serviceEnv, signIn } from '../../support/services.ts'
import { createTestFolder } from '../../support/test-folder.ts'
import { until } from '../../support/until.ts'
import { answerOf } from '../harness.ts'

/** An issuer, or another one beside it on the same stores. */
async function startIssuer(t: Test, cwd: string, name: string, port: number) {
  const env = { ...serviceEnv, GATEPASS_ISSUER: name, GATEPASS_PORT: String(port) }
  const process = TestProcess.start(t, ['issuer'], { cwd, env })
  const { url } = await process.ready()
  return {
    process,
    env,
    signIn: () => signIn(url),
    async logout(refresh_token: string): Promise<void> {
      const { status } = await postJson(`${url}/logout`, { refresh_token })
      if (status !== 204) throw new Error(`/logout answered ${status}`)
    },
  }
}

t.test('no revocation is missed while an issuer is killed and restarted', async (t) => {
  const cwd = createTestFolder(t)
  const port = await freePort()
  const name = `http://localhost:${port}`
  const issuer = await startIssuer(t, cwd, name, port)
  await addUser({ cwd, env: issuer.env })
  const [before, during, after] = [
    await issuer.signIn(),
    await issuer.signIn(),
    await issuer.signIn(),
  ]
  const replicas = Array.from({ length: 3 }, () =>
    createVerifier({
      issuer: name,
      audience: null,
      jwksUri: `http://127.0.0.1:${port}/.well-known/jwks.json`,
      revocations: { pollIntervalSeconds: 2 },
    }),
  )
  t.teardown(() => Promise.all(replicas.map((one) => one.close())))
  await Promise.all(replicas.map((one) => one.ready()))
  const states = () => replicas.map((one) => one.status().revocations?.state)
  await until('all stream', () => states().every((state) => state === 'streaming'))
  const untilRefused = (token: string) =>
    until('all refuse it', async () => {
      const answers = await Promise.all(
        replicas.map((one) => answerOf(async () => one.verifySync(token))),
      )
      return answers.every((answer) => answer === 'token_revoked')
    })

  await issuer.logout(before.refresh_token)
  await untilRefused(before.access_token)
  await issuer.process.stop('SIGKILL')
  await until('all notice', () => states().every((state) => state !== 'streaming'))
  for (const one of replicas) {
    t.equal(await answerOf(() => one.verify(before.access_token)), 'token_revoked')
    t.ok(await one.verify(during.access_token), 'and nobody else is kept out')
  }

  const beside = await startIssuer(t, cwd, name, 0)
  await beside.logout(during.refresh_token)
  const again = await startIssuer(t, cwd, name, port)
  await untilRefused(during.access_token)
  await until('all stream again', () => states().every((state) => state === 'streaming'))
  await again.logout(after.refresh_token)
  await untilRefused(after.access_token)
})
