import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { RemoteKeysOptions } from '../../../src/verifier/keys/remote-keys.ts'
import { createTestFolder } from '../../support/test-folder.ts'
import { now_s } from '../../support/tokens.ts'
import { type JwksServer, respond, serve } from '../jwks-server.ts'
import { day_s, first, second, setUp, type TestSetup, untilKeys } from './harness.ts'

/** A verifier with a file, which was written so long before its start; null for no file. */
async function withFile(
  t: Test,
  {
    ageSeconds,
    text,
    answer,
    ...changes
  }: {
    readonly ageSeconds: number | null
    readonly text?: string
    readonly answer: JwksServer['answer']
  } & Partial<RemoteKeysOptions>,
): Promise<TestSetup & { readonly path: string }> {
  const path = join(createTestFolder(t), 'jwks.json')
  if (ageSeconds !== null) {
    writeFileSync(path, text ?? JSON.stringify({ keys: [first.publicJwk] }))
    utimesSync(path, now_s - ageSeconds, now_s - ageSeconds)
  }
  return { path, ...(await setUp(t, answer, { jwksFile: path, ...changes })) }
}

t.test('A30: a replica starts from the file while the issuer is unavailable', async (t) => {
  // With the byte order mark of an editor on Windows.
  const text = `\ufeff${JSON.stringify({ keys: [first.publicJwk] })}`
  const setup = await withFile(t, { ageSeconds: 3600, text, answer: respond(503, '') })
  const { answer, answerSync, clock, keys, server } = setup
  t.equal(await answerSync(first), 'keys_unavailable', 'nothing is read before it is needed')
  t.equal(await answer(first), 'accepted')
  await keys.ready()
  t.match(keys.status(), {
    count: 1,
    source: 'file',
    ageSeconds: 3600,
    lastError: /503/,
    fileError: null,
  })
  t.equal(await answer(second), 'keys_unavailable', 'it may be newer than the file')
  server.answer = serve([second])
  clock.advance_s(5)
  t.equal(await answer(second), 'accepted')
  t.equal(await answer(first), 'token_key_unknown', 'the set is replaced whole')
  t.match(keys.status(), { source: 'network', ageSeconds: 0 })
})

t.test('A30: a start with a file does not wait for the deadline of a silent issuer', async (t) => {
  const { answer, keys } = await withFile(t, {
    ageSeconds: 0,
    answer: () => {},
    fetchTimeoutMs: 60_000,
  })
  t.equal(await answer(first), 'accepted')
  t.match(keys.status(), { source: 'file', lastError: null })
  await keys.close()
})

t.test('the keys of the issuer take precedence over the file', async (t) => {
  const { answer, keys } = await withFile(t, { ageSeconds: 0, answer: serve([second]) })
  t.equal(await answer(first), 'token_key_unknown')
  t.equal(await answer(second), 'accepted')
  t.match(keys.status(), { source: 'network', fileError: null })
})

t.test('the keys of the file are as old as the file', async (t) => {
  const { answer, clock, keys } = await withFile(t, {
    ageSeconds: day_s - 10,
    answer: respond(503, ''),
  })
  t.equal(await answer(first), 'accepted')
  clock.advance_s(10)
  t.equal(await answer(first), 'accepted')
  clock.advance_s(1)
  t.equal(await answer(first), 'keys_unavailable')
  t.match(keys.status(), { count: 0, source: 'file', ageSeconds: day_s + 1 })

  const late = await withFile(t, { ageSeconds: day_s + 1, answer: respond(503, '') })
  await t.rejects(late.keys.ready(), { code: 'keys_unavailable' })
  t.match(late.keys.status(), { count: 0, source: 'file', ageSeconds: day_s + 1 })
})

t.test('a file with a time in the future counts as written now', async (t) => {
  const { answer, clock, keys } = await withFile(t, {
    ageSeconds: -10 * day_s,
    answer: respond(503, ''),
  })
  t.equal(await answer(first), 'accepted')
  t.equal(keys.status().ageSeconds, 0)
  clock.advance_s(day_s + 1)
  t.equal(await answer(first), 'keys_unavailable')
})

t.test('an unusable file is reported, and does not prevent the start', async (t) => {
  const good = JSON.stringify({ keys: [first.publicJwk] })
  const cases: Record<string, [string | null, RegExp]> = {
    'no file': [null, /cannot be read: ENOENT/],
    'an empty file': ['', /not acceptable JSON/],
    'half a file': [good.slice(0, -5), /not acceptable JSON/],
    'a long file': [' '.repeat(70_000), /longer than 65536 bytes/],
    'no keys': ['{"keys":[]}', /there are no keys/],
    'no set': ['[]', /no array of keys/],
    'the keys of another issuer': [
      `{"jwks_uri":"https://a.test/",${good.slice(1)}`,
      /another address/,
    ],
  }
  for (const [what, [text, error]] of Object.entries(cases)) {
    const file = text === null ? { ageSeconds: null } : { ageSeconds: 0, text }
    const { answer, server, clock, keys } = await withFile(t, { ...file, answer: respond(500, '') })
    t.equal(await answer(first), 'keys_unavailable', what)
    t.equal(server.requests, 1, what)
    t.match(keys.status(), { source: null, fileError: error }, what)
    server.answer = serve([first])
    clock.advance_s(5)
    t.equal(await answer(first), 'accepted', what)
    await keys.close()
    t.equal(keys.status().fileError, null, `${what}: it was written anew`)
  }
})

t.test('refuses a file that other users can write, a pipe and a folder', async (t) => {
  const open = await withFile(t, { ageSeconds: 0, answer: respond(500, '') })
  chmodSync(open.path, 0o666)
  t.equal(await open.answer(first), 'keys_unavailable')
  t.match(open.keys.status().fileError, /other users can write/)

  const pipe = await withFile(t, { ageSeconds: null, answer: respond(500, '') })
  execFileSync('mkfifo', [pipe.path])
  t.equal(await pipe.answer(first), 'keys_unavailable')
  t.match(pipe.keys.status().fileError, /not a file/)

  const folder = await withFile(t, { ageSeconds: null, answer: respond(500, '') })
  mkdirSync(folder.path)
  t.equal(await folder.answer(first), 'keys_unavailable')
  t.match(folder.keys.status().fileError, /not a file/)
  folder.server.answer = serve([first])
  folder.clock.advance_s(5)
  t.equal(await folder.answer(first), 'accepted')
  await folder.keys.close()
  t.match(folder.keys.status().fileError, /cannot be written: E/)
  t.same(readdirSync(join(folder.path, '..')), ['jwks.json'], 'nothing is left over')
})

t.test('fetched keys are written, and used at the next start', async (t) => {
  const { path, keys, server } = await withFile(t, {
    ageSeconds: null,
    answer: serve([first, second]),
  })
  await keys.ready()
  await keys.close()
  const { mode, mtimeMs } = statSync(path)
  t.equal(mode & 0o777, 0o644 & ~process.umask())
  t.equal(mtimeMs, now_s * 1000, 'the time at which the keys were loaded')
  const { keys: kept, jwks_uri: jwksUri } = JSON.parse(readFileSync(path, 'utf8'))
  t.same(kept, [first.publicJwk, second.publicJwk])
  t.equal(jwksUri, `${server.issuer}/.well-known/jwks.json`)
  t.same(readdirSync(join(path, '..')), ['jwks.json'])

  server.answer = respond(500, '')
  const next = await setUp(t, respond(500, ''), { jwksFile: path, jwksUri })
  await next.keys.ready()
  t.match(next.keys.status(), { count: 2, source: 'file' })
  t.same(next.keys.status().refused, [])
  // The keys of the file are those of the issuer, so nothing changes when it is back.
  const key = next.keys.find('first', 'ES256')
  server.answer = serve([first, second])
  await next.keys.refreshNow()
  t.equal(next.keys.status().source, 'network')
  t.equal(next.keys.find('first', 'ES256'), key)
})

t.test('the file is written when the keys change, and once a minute', async (t) => {
  const { path, keys, clock, server, ...setup } = await withFile(t, {
    ageSeconds: null,
    answer: serve([first], { etag: '"a"' }),
  })
  const isWrittenAfter = (after_s: number) =>
    untilKeys(setup, () => {
      return statSync(path, { throwIfNoEntry: false })?.mtimeMs === (now_s + after_s) * 1000
    })
  await keys.ready()
  await isWrittenAfter(0)
  server.answer = respond(304, '')
  clock.advance_s(59)
  await keys.refreshNow()
  clock.advance_s(1)
  await keys.refreshNow()
  await isWrittenAfter(60) // so it was not after 59
  clock.advance_s(1)
  server.answer = serve([second])
  await keys.refreshNow()
  await isWrittenAfter(61)
  clock.advance_s(-3600) // the clock was set back
  await keys.refreshNow()
  await isWrittenAfter(61 - 3600)
  await keys.close()
  t.same(JSON.parse(readFileSync(path, 'utf8')).keys, [second.publicJwk])
  t.match(keys.status(), { count: 1, fileError: null })
})

t.test('private members and refused keys are not written', async (t) => {
  const leaked = { ...second.publicJwk, d: 'c2VjcmV0' }
  const { path, keys } = await withFile(t, {
    ageSeconds: null,
    answer: respond(200, JSON.stringify({ keys: [first.publicJwk, leaked] })),
  })
  await keys.ready()
  await keys.close()
  t.same(JSON.parse(readFileSync(path, 'utf8')).keys, [first.publicJwk])
})
