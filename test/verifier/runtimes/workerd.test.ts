import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'
import t, { type Test } from 'tap'
import { TestProcess } from '../../support/processes.ts'
import { projectFolder } from '../../support/project.ts'
import { runtime } from '../../support/runtimes.ts'
import { createTestFolder } from '../../support/test-folder.ts'
import { claimsWith, makeKey, mint, now_s, type TestKey } from '../../support/tokens.ts'
import { JwksServer, serve } from '../jwks-server.ts'
import { expectedAnswers, makeInput } from './harness.ts'
import type { WorkerInput } from './programs/worker.ts'

/** The oldest at which workerd has every module of Node that a verifier imports. */
const compatibilityDate = '2025-09-15'

const config = `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .worker),
    (name = "internet", network = (allow = ["public", "private", "local"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
const worker :Workerd.Worker = (
  modules = [(name = "worker", esModule = embed "worker.js")],
  compatibilityDate = "${compatibilityDate}",
  compatibilityFlags = ["nodejs_compat"],
);
`

async function startWorker(t: Test, input: WorkerInput): Promise<string> {
  const folder = createTestFolder(t, { 'config.capnp': config })
  const { outputFiles } = await build({
    absWorkingDir: projectFolder,
    entryPoints: ['test/verifier/runtimes/programs/worker.ts'],
    define: { INPUT: JSON.stringify(input) },
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'neutral',
    external: ['node:*'],
  })
  writeFileSync(join(folder, 'worker.js'), outputFiles[0]?.contents ?? '')
  const workerd = TestProcess.start(t, ['serve', '--control-fd=1', 'config.capnp'], {
    command: [runtime.workerd()],
    cwd: folder,
  })
  const { port } = JSON.parse(await workerd.line(/"event":"listen"/))
  return `http://127.0.0.1:${port}`
}

interface Worker {
  readonly server: JwksServer
  /** Sends the worker one request for an action. */
  readonly ask: (
    action: string,
    headers?: Record<string, string>,
    signal?: AbortSignal,
  ) => Promise<unknown>
  readonly verify: (key: TestKey, jti?: string) => Promise<unknown>
  readonly advance: (seconds: number) => Promise<unknown>
}

/** A worker that has its keys from a server of the test. */
async function open(
  t: Test,
  answer: JwksServer['answer'],
  fetchTimeoutMs = 20_000,
): Promise<Worker> {
  const server = await JwksServer.open(t, answer)
  const keyServer = server.issuer
  const url = await startWorker(t, { ...(await makeInput()), keyServer, fetchTimeoutMs })
  const ask: Worker['ask'] = async (action, headers = {}, signal) => {
    const response = await fetch(`${url}${action}`, { headers, ...(signal && { signal }) })
    const text = await response.text()
    if (response.status !== 200) throw new Error(`${action} answered ${response.status}: ${text}`)
    return JSON.parse(text).answer
  }
  const tokenOf = (key: TestKey, jti: string) =>
    mint(key, { payload: claimsWith({ iss: keyServer, exp: now_s + 36_000, jti }) })
  return {
    server,
    ask,
    verify: (key, jti = 'token-1') => ask('/verify', { token: tokenOf(key, jti) }),
    advance: (seconds) => ask('/advance', { seconds: String(seconds) }),
  }
}

const [first, second] = [makeKey('ES256', 'first'), makeKey('RS256', 'second')]

t.test('a verifier works on workerd', async (t) => {
  const { ask } = await open(t, serve([first]))
  t.same(await ask('/fixed'), expectedAnswers(['ML-DSA-44']))
})

t.test('A33: a verifier does not start where it cannot follow revocations', async (t) => {
  const { ask } = await open(t, serve([first]))
  const refused = (pointer: string, detail: RegExp) => ({
    code: 'config_invalid',
    problems: [{ pointer, detail }],
  })
  const cannotFollow = refused('/revocations', /workerd.*cannot follow revocations/)
  t.match(await ask('/start'), {
    refusedOutside: cannotFollow,
    refused: cannotFollow,
    withOptions: cannotFollow,
    withFile: refused('/jwksFile', /no files/),
    withList: 'it has started',
  })
})

t.test('A33: keys are fetched within the request when they are due', async (t) => {
  const { server, verify, advance, ask } = await open(t, serve([first]))
  t.same(await Promise.all([1, 2, 3].map((n) => verify(first, `token-${n}`))), [
    'accepted',
    'accepted',
    'accepted',
  ])
  const { requests } = server
  t.equal(await verify(first), 'accepted')
  t.equal(server.requests, requests, 'once they are here they serve')
  server.answer = serve([second])
  await advance(400)
  t.equal(await verify(first), 'token_key_unknown', 'a token that was verified before')
  t.equal(server.requests, requests + 1)
  t.equal(await verify(second), 'accepted')
  t.equal(server.requests, requests + 1)
  server.answer = serve([first, second])
  await advance(400)
  t.equal(await verify(second, 'another'), 'accepted', 'a token that is new')
  t.equal(await verify(first), 'accepted')
  t.equal(server.requests, requests + 2)
  t.match(await ask('/status'), { count: 2, source: 'network', ageSeconds: 0, lastError: null })
})

t.test('A33: one request waits for a fetch that hangs, until its deadline', async (t) => {
  const { server, verify, advance, ask } = await open(t, serve([first]), 3_000)
  t.equal(await verify(first), 'accepted')
  server.answer = () => {}
  await advance(400)
  const all = [1, 2, 3, 4].map((n) => verify(first, `token-${n}`))
  t.same(new Set(await Promise.all(all)), new Set(['accepted']))
  t.equal(server.requests, 2)
  t.match(await ask('/status'), { lastError: /no full answer within 3000 ms/ })
  server.answer = serve([second])
  await advance(30)
  t.equal(await verify(first), 'token_key_unknown')
  t.equal(await verify(second), 'accepted')
})

t.test('A33: a request that ends while it fetches delays no other request', async (t) => {
  const { server, verify, advance, ask } = await open(t, serve([first]))
  t.equal(await verify(first), 'accepted')
  const token = mint(first, { payload: claimsWith({ iss: server.issuer, exp: now_s + 36_000 }) })
  server.answer = () => {}
  await advance(400)
  const leaving = new AbortController()
  const asked = server.nextRequest()
  const left = ask('/verify', { token }, leaving.signal)
  await asked
  leaving.abort()
  await t.rejects(left)
  server.answer = serve([second])
  t.equal(await verify(first), 'accepted', 'the fetch may still be under way')
  await advance(21)
  t.equal(await verify(first), 'token_key_unknown')
  t.equal(await verify(second), 'accepted')
})

t.test('A33: without keys each request fetches them for itself', async (t) => {
  const { server, verify, ask } = await open(t, () => {})
  const token = mint(first, { payload: claimsWith({ iss: server.issuer, exp: now_s + 36_000 }) })
  const leaving = new AbortController()
  const asked = server.nextRequest()
  const left = ask('/verify', { token }, leaving.signal)
  await asked
  leaving.abort()
  await t.rejects(left)
  server.answer = serve([first])
  t.equal(await verify(first), 'accepted')
})

t.test('A33: unknown kids cause one fetch per cooldown, and known keys do not wait', async (t) => {
  const { server, verify, advance, ask } = await open(t, serve([first]))
  t.equal(await verify(first), 'accepted')
  const stranger = makeKey('ES256', 'stranger')
  await advance(6)
  const answers = await Promise.all([
    ...Array.from({ length: 20 }, (_, n) => verify(makeKey('ES256', `unknown-${n}`))),
    verify(first),
  ])
  t.same(answers, [...Array(20).fill('token_key_unknown'), 'accepted'])
  t.equal(server.requests, 2)
  const token = mint(stranger, { payload: claimsWith({ iss: server.issuer, exp: now_s + 36_000 }) })
  await advance(6)
  t.equal(await ask('/verify-sync', { token }), 'token_key_unknown')
  t.equal(server.requests, 2, 'a fetch that nobody waits for is not made')
  server.answer = serve([first, stranger])
  t.equal(await verify(stranger), 'accepted')
  t.equal(server.requests, 3)
})
