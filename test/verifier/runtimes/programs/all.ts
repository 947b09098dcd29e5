/** Prints the answers of a verifier on this runtime. The process ends when all is closed. */
import { once } from 'node:events'
import { createServer, get, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { requireToken } from '../../../../src/verifier/express.ts'
import { createVerifier } from '../../../../src/verifier/index.ts'
import { answerOf, type CheckInput, checkFixedKeys } from './checks.ts'

export interface RuntimeInput extends CheckInput {
  /** Its JWKS has the first key until `/next` is asked for, and then the second. */
  readonly keyServer: string
  readonly firstToken: string
  readonly secondToken: string
  /** Revokes the session of each token when `/revoke` is asked for. */
  readonly feed: string
  readonly revoke: string
  /** A bound token, and its proof for a request to this host without TLS. */
  readonly plain: { readonly token: string; readonly proof: string; readonly host: string }
}

async function until(answer: string, ask: () => string | Promise<string>): Promise<string> {
  const deadlineMs = performance.now() + 20_000
  for (;;) {
    const found = await ask()
    if (found === answer || performance.now() > deadlineMs) return found
    await sleep(5)
  }
}

/** Collects garbage, as a runtime may at any time. The test starts each runtime with a collector to call. */
function collectGarbage(): void {
  const { gc, Bun } = globalThis as { gc?: () => void; Bun?: { gc(isForced: boolean): void } }
  if (gc !== undefined) gc()
  else if (Bun !== undefined) Bun.gc(true)
  else throw new Error('the garbage collector is not exposed')
}

async function checkFetchedKeys(input: RuntimeInput) {
  const { keyServer: issuer, now_s, firstToken, secondToken } = input
  let nowMs = now_s * 1000
  const clock = { nowMs: () => nowMs }
  const verifier = createVerifier({ issuer, audience: null, clock, clockToleranceSeconds: 300 })
  const first = await answerOf(() => verifier.verify(firstToken))
  await fetch(`${issuer}/next`)
  // The keys are due by now, and fetched in the background.
  nowMs += 241_000
  const gone = await until('token_key_unknown', () => answerOf(() => verifier.verify(firstToken)))
  const second = await answerOf(() => verifier.verify(secondToken))
  await verifier.close()
  return [first, gone, second]
}

async function checkRevocations(input: RuntimeInput) {
  const { issuer, audience, jwks, feed: uri, now_s } = input
  const clock = { nowMs: () => now_s * 1000 }
  const revocations = { uri, pollIntervalSeconds: 1 }
  const verifier = createVerifier({ issuer, audience, jwks, clock, revocations })
  await verifier.ready()
  const token = input.tokens.ES256 ?? ''
  const before = await answerOf(() => verifier.verify(token))
  const stream = await until('streaming', () => verifier.status().revocations?.state ?? '')
  collectGarbage()
  await fetch(input.revoke)
  const after = await until('token_revoked', () => answerOf(() => verifier.verify(token)))
  // `close` ends the stream, whatever was collected before.
  await verifier.close()
  return [before, stream, after]
}

/** Returns the status of a request to `node:http`, whose proof names the URI of the request. */
async function checkMiddleware({ issuer, audience, jwks, now_s, plain }: RuntimeInput) {
  const clock = { nowMs: () => now_s * 1000 }
  const guard = requireToken(createVerifier({ issuer, audience, jwks, clock }))
  const server = createServer((request, response) =>
    guard(request, response, () => void response.end()),
  )
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const { token, proof: dpop, host } = plain
  const headers = { authorization: `DPoP ${token}`, dpop, host, connection: 'close' }
  const request = get({ host: '127.0.0.1', port, path: '/orders', headers })
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  response.resume()
  server.close()
  return response.statusCode
}

const [, , text] = process.argv
if (text !== undefined) {
  const input: RuntimeInput = JSON.parse(text)
  const result = {
    ...(await checkFixedKeys(input)),
    fetchedKeys: await checkFetchedKeys(input),
    revocations: await checkRevocations(input),
    middleware: await checkMiddleware(input),
  }
  console.log(JSON.stringify(result))
}
