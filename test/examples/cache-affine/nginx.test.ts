import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { freePort } from '../../../scripts/free-port.ts'
import { gatepassAuth } from '../../../src/verifier/fastify.ts'
import { createVerifier } from '../../../src/verifier/index.ts'
import { FakeClock } from '../../support/clock.ts'
import { createTestFolder } from '../../support/test-folder.ts'
import { audience, claimsWith, issuer, makeKey, mint, now_s } from '../../support/tokens.ts'
import { clientOf } from '../forward-auth/client.ts'
import { nginx } from '../forward-auth/nginx.ts'
import { startProxy, writeExample } from '../forward-auth/start.ts'

const key = makeKey('ES256')
const options = {
  issuer,
  audience,
  clock: new FakeClock(now_s * 1000),
  jwks: { keys: [key.publicJwk] },
}

/** A service that checks tokens itself, and says which replica it is. */
async function startReplica(t: Test, name: string) {
  const verifier = createVerifier(options)
  const app = Fastify({ forceCloseConnections: true })
  await app.register(gatepassAuth, { verifier })
  app.get('/', (request) => ({ name, user: request.auth?.sub }))
  app.get('/public/', { config: { auth: false } }, () => '')
  const url = await app.listen({ host: '127.0.0.1', port: await freePort() })
  t.teardown(() => app.close())
  return { name, close: () => app.close(), address: new URL(url).host }
}

t.test('each token goes to one replica, and another one can take over', async (t) => {
  const names = ['replica-1', 'replica-2', 'replica-3']
  const replicas = await Promise.all(names.map((name) => startReplica(t, name)))
  const [folder, port] = [createTestFolder(t), await freePort()]
  writeExample({ folder: 'cache-affine', files: ['nginx.conf'] }, folder, {
    ...Object.fromEntries(replicas.map(({ name, address }) => [`${name}:3000`, address])),
    'listen 8080': `listen 127.0.0.1:${port}`,
    ...nginx.changes?.(folder),
  })
  const call = clientOf(port)
  await startProxy(t, nginx.command(folder), folder, call)

  const tokens = Array.from({ length: 60 }, (_, n) => {
    return mint(key, { payload: claimsWith({ sub: `user-${n}` }) })
  })
  const replicasOf = async () => {
    const answers = tokens.map((token) => call({ headers: ['Authorization', `Bearer ${token}`] }))
    const bodies = (await Promise.all(answers)).map(({ body }) => JSON.parse(body))
    t.same(
      bodies.map(({ user }) => user),
      tokens.map((_, n) => `user-${n}`),
    )
    return bodies.map(({ name }) => name as string)
  }

  const first = await replicasOf()
  t.same([...new Set(first)].sort(), names, 'all of them are used')
  for (let n = 0; n < 3; n += 1)
    t.same(await replicasOf(), first, 'the same token, the same replica')
  t.equal((await call({})).status, 401)

  await replicas[1]?.close()
  const then = await replicasOf()
  t.notOk(then.includes('replica-2'))
  const others = first.flatMap((name, n) => (name === 'replica-2' ? [] : [n]))
  t.same(
    others.map((n) => then[n]),
    others.map((n) => first[n]),
    'only its share has moved',
  )
})
