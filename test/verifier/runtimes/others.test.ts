import { join } from 'node:path'
import t from 'tap'
import { makeProof, makeProofKey } from '../../support/dpop.ts'
import { startHttpServer } from '../../support/http-server.ts'
import { run } from '../../support/processes.ts'
import { projectFolder } from '../../support/project.ts'
import { runtime } from '../../support/runtimes.ts'
import { createTestFolder } from '../../support/test-folder.ts'
import { claimsWith, makeKey, mint, now_s } from '../../support/tokens.ts'
import { keyOf } from '../harness.ts'
import { JwksServer, serve } from '../jwks-server.ts'
import { FeedServer } from '../revocations/feed-server.ts'
import { expectedAnswers, makeInput } from './harness.ts'
import type { RuntimeInput } from './programs/all.ts'

interface Runtime {
  readonly command: () => readonly string[]
  /** The algorithms that it does not have. */
  readonly without?: readonly string[]
}

const runtimes: Readonly<Record<string, Runtime>> = {
  'Node 24': { command: () => [process.execPath, '--expose-gc'] },
  'Node 22': {
    command: () => [runtime.node22(), '--no-warnings', '--expose-gc'],
    without: ['ML-DSA-44'],
  },
  Bun: { command: () => [runtime.bun(), 'run'] },
  Deno: {
    // With no other permissions than it needs.
    command: () => [
      runtime.deno(),
      ...['run', '--no-prompt', '--no-config', '--no-lock', '--allow-net=127.0.0.1'],
      '--v8-flags=--expose-gc',
    ],
    without: ['ML-DSA-44'],
  },
}

for (const [name, { command, without = [] }] of Object.entries(runtimes)) {
  t.test(`a verifier does the same on ${name}`, async (t) => {
    const folder = createTestFolder(t)
    const [first, second] = [makeKey('ES256', 'first'), makeKey('ES256', 'second')]
    const keyServer = await JwksServer.open(t, (request, response) => {
      if (request.url !== '/next') return serve([first])(request, response)
      keyServer.answer = serve([second])
      response.end()
    })
    const payload = claimsWith({ iss: keyServer.issuer, exp: now_s + 3600 })
    const feed = await FeedServer.open(t, keyOf('ES256'))
    const { url: revoke } = await startHttpServer(t, async (_request, response) => {
      await feed.add('session', 'session-1')
      response.end()
    })
    const proofKey = await makeProofKey()
    const token = mint(keyOf('ES256'), { payload: claimsWith({ cnf: { jkt: proofKey.jkt } }) })
    const host = 'api.test'
    const proof = await makeProof(proofKey, { htu: `http://${host}/orders`, iat: now_s, token })
    const input: RuntimeInput = {
      ...(await makeInput()),
      keyServer: keyServer.issuer,
      firstToken: mint(first, { payload }),
      secondToken: mint(second, { payload }),
      feed: feed.uri,
      revoke,
      plain: { token, proof, host },
    }
    const program = join(projectFolder, 'test/verifier/runtimes/programs/all.ts')
    const { code, stdout, stderr } = await run(t, [program, JSON.stringify(input)], {
      command: command(),
      cwd: folder,
      env: { DENO_DIR: join(folder, 'deno') },
    })
    t.equal(code, 0, stderr)
    t.same(JSON.parse(stdout || 'null'), {
      ...expectedAnswers(without),
      fetchedKeys: ['accepted', 'token_key_unknown', 'accepted'],
      revocations: ['accepted', 'streaming', 'token_revoked'],
      middleware: 200,
    })
  })
}
