import { setTimeout as sleep } from 'node:timers/promises'
import { createVerifier, type Verifier } from '../../../src/verifier/index.ts'
import type { Readings, Scenario, Subject } from '../harness/scenario.ts'
import { type Server, startServer } from '../harness/server.ts'
import { createAccounts, hashSettings } from './accounts.ts'
import { IssuerService } from './issuer-service.ts'

const replicaCount = 10
const signOutCount = 40
/** Sign-outs don't come in step with the issuer's looks at its log. */
const betweenMs = { min: 20, max: 140 }
const within_ms = 1_000
const pollInterval_s = 1

export const revocation: Scenario = {
  name: 'revocation',
  title: `from a sign-out at the issuer until each of ${replicaCount} verifiers refuses the access token`,
  async prepare(bench) {
    const issuer = await IssuerService.create(bench, hashSettings)
    const logins = (await createAccounts(issuer.template)).slice(0, signOutCount)
    const measure = (name: string, stream: boolean): Subject => ({
      name,
      async measure() {
        const server = await startServer(issuer.spec(), bench)
        try {
          return await measureSignOuts(server, logins, stream)
        } finally {
          await server.stop()
        }
      },
    })
    return {
      subjects: [
        measure('by the stream', true),
        measure(`by polls, every ${pollInterval_s} s`, false),
      ],
      comparisons: [{ subject: 'by the stream', metric: 'p99_ms', target: { under: within_ms } }],
    }
  },
}

type Login = Awaited<ReturnType<typeof createAccounts>>[number]

async function measureSignOuts(
  server: Server,
  logins: readonly Login[],
  stream: boolean,
): Promise<Readings> {
  const replicas = await startReplicas(server.url, stream)
  try {
    const times: number[] = []
    for (const login of logins) {
      times.push(...(await timeSignOut(server.url, login, replicas)))
      await sleep(betweenMs.min + Math.random() * (betweenMs.max - betweenMs.min))
    }
    times.sort((a, b) => a - b)
    const at = (share: number) => times[Math.ceil(times.length * share) - 1] ?? Number.NaN
    return { p50_ms: at(0.5), p99_ms: at(0.99) }
  } finally {
    await Promise.all(replicas.map((one) => one.close()))
  }
}

async function startReplicas(url: string, stream: boolean): Promise<Verifier[]> {
  const replicas = Array.from({ length: replicaCount }, () =>
    createVerifier({
      issuer: 'http://localhost:4000',
      audience: null,
      jwksUri: `${url}/.well-known/jwks.json`,
      revocations: { stream, pollInterval_s },
    }),
  )
  await Promise.all(replicas.map((one) => one.ready()))
  const state = stream ? 'streaming' : 'polling'
  while (!replicas.every((one) => one.status().revocations?.state === state)) await sleep(10)
  return replicas
}

/** Milliseconds from the request to sign out until each replica refuses what it has accepted. */
async function timeSignOut(url: string, login: Login, replicas: readonly Verifier[]) {
  const { access_token, refresh_token } = await post(url, login.path, login.body ?? '')
  for (const one of replicas) await one.verify(access_token)
  const startMs = performance.now()
  const signedOut = post(url, '/logout', JSON.stringify({ refresh_token }))
  const times = replicas.map(async (one) => {
    while (isAccepted(one, access_token)) await sleep(1)
    return performance.now() - startMs
  })
  await signedOut
  return Promise.all(times)
}

function isAccepted(verifier: Verifier, token: string): boolean {
  try {
    verifier.verifySync(token)
    return true
  } catch {
    return false
  }
}

async function post(url: string, path: string, body: string) {
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(`${url}${path}`, { method: 'POST', headers, body })
  if (!response.ok) throw new Error(`${path} answered ${response.status}`)
  return JSON.parse((await response.text()) || '{}') as {
    access_token: string
    refresh_token: string
  }
}
