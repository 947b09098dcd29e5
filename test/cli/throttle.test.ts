import t from 'tap'
import { postJson } from '../support/post-json.ts'
import { TestProcess } from '../support/processes.ts'
import { addUser, serviceEnv } from '../support/services.ts'
import { createTestFolder } from '../support/test-folder.ts'

const env = {
  ...serviceEnv,
  GATEPASS_MODE: 'development',
  GATEPASS_TRUSTED_PROXIES: '127.0.0.1',
}

t.test('I5: replicas on one store count guesses together', async (t) => {
  const cwd = createTestFolder(t)
  await addUser({ cwd, env })
  const replicas = [1, 2].map(() => TestProcess.start(t, ['issuer'], { cwd, env }))
  const [one, other] = await Promise.all(
    replicas.map(async (replica) => `${(await replica.ready()).url}/login`),
  )
  const guess = async (url: string | undefined, address: string) => {
    const body = { username: 'ada', password: 'wrong password' }
    const response = await postJson(url ?? '', body, { 'x-forwarded-for': address })
    await response.body?.cancel()
    return response
  }
  const storm = Array.from({ length: 20 }, () => [guess(one, '10.0.0.1'), guess(other, '10.0.0.1')])
  const responses = await Promise.all(storm.flat())
  const tried = responses.filter(({ status }) => status === 401).length
  // Six at once; on a machine so slow that pauses pass meanwhile, one more for each. Two replicas that
  // count apart try twelve.
  t.ok(tried >= 6 && tried < 12, `${tried} were tried`)
  const refused = responses.filter(({ status }) => status !== 401)
  t.ok(refused.some(({ status }) => status === 429))
  for (const { status, headers } of refused) {
    // On such a machine a process may also wait too long for the file that both write.
    t.ok(status === 429 || status === 503, `${status}`)
    t.match(headers.get('retry-after'), /^\d+$/)
  }
  t.equal((await guess(other, '192.0.2.1')).status, 401)
  for (const replica of replicas) t.equal(await replica.stop(), 0)
})
