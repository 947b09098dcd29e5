import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { type Server, startServer } from '../harness/processes.ts'
import { installPeers } from '../harness/revision.ts'
import type { Bench, Scenario, Subject } from '../harness/scenario.ts'
import { looped, served } from '../harness/subjects.ts'
import type { HttpRequest } from '../harness/traffic.ts'
import { createIssuer, loginRequests, userName } from '../issuer.ts'
import { hashPassword, password } from '../passwords.ts'
import { startOnRedis } from '../stores.ts'

/** Enough users that none signs in often, because the sessions of a user are limited. */
const users = 4_096
/** Each one signs up by a hash of its own. */
const peerUsers = 16
const argon2id = 'Argon2id, nothing else'
const scrypt = 'scrypt, nothing else'

export const login: Scenario = {
  name: 'login',
  title: 'sign-ins by password, each beside its own hash in a loop',
  // Enough logins that one always waits, and none waits too long.
  connections: 8,
  async ours(bench) {
    const { start } = createIssuer({ name: 'login', users, hash: 'default' }, bench)
    return [loginSubject('gatepass, Argon2id', argon2id, start, loginRequests(users), bench)]
  },
  async rivals(bench) {
    installPeers()
    const args = [String(users), hashPassword('default')]
    const byHand = () => startOnRedis('programs/by-hand', args, bench)
    const byHandName = 'by hand with fast-jwt, Argon2id'
    return [
      loginSubject(byHandName, argon2id, byHand, loginRequests(users), bench),
      betterAuth(bench),
      looped(argon2id, 'programs/hash', ['argon2id'], bench),
      looped(scrypt, 'programs/hash', ['scrypt'], bench),
    ]
  },
}

function betterAuth(bench: Bench): Subject {
  // The public origin, which a browser sends with a sign-in.
  const origin = 'http://127.0.0.1:3000'
  const headers = { 'content-type': 'application/json', origin }
  const requests = Array.from({ length: peerUsers }, (_, n) => {
    const body = JSON.stringify({ email: `${userName(n)}@example.com`, password })
    return { method: 'POST', path: '/api/auth/sign-in/email', headers, body }
  })
  const start = () => {
    const file = join(mkdtempSync(join(bench.scratch, 'better-auth-')), 'auth.db')
    return startServer('programs/better-auth', [origin, String(peerUsers), password, file], bench)
  }
  return loginSubject('better-auth, scrypt', scrypt, start, requests, bench)
}

/** Checks before the load that a wrong password is refused. */
function loginSubject(
  name: string,
  limit: string,
  start: () => Promise<Server>,
  requests: readonly HttpRequest[],
  bench: Bench,
): Subject {
  const check = async (url: string) => {
    const { path = '', headers = {}, body = '' } = requests[0] ?? {}
    const wrong = body.replace(password, `${password}!`)
    const { status } = await fetch(`${url}${path}`, { method: 'POST', headers, body: wrong })
    if (status !== 401) throw new Error(`${name} answers ${status} to a wrong password`)
  }
  const traffic = () => ({ requests })
  return served({ name, comparedWith: [limit], start, check, traffic }, bench)
}
