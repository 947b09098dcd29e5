import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { type Server, startServer } from '../harness/processes.ts'
import { installRivals } from '../harness/revision.ts'
import type { Bench, Scenario, Subject } from '../harness/scenario.ts'
import { loopSubject, serverSubject } from '../harness/subjects.ts'
import type { HttpRequest } from '../harness/traffic.ts'
import { createIssuer, loginRequests, userName } from '../issuer.ts'
import { hashPassword, password } from '../passwords.ts'
import { startOnRedis } from '../stores.ts'

/** With this number, no user reaches the maximum number of sessions. */
const users = 4_096
/** Few, because each sign-up hashes a password. */
const rivalUsers = 16
const byHand = 'by hand with fast-jwt, Argon2id'
const argon2id = 'Argon2id, nothing else'
const scrypt = 'scrypt, nothing else'

export const login: Scenario = {
  name: 'login',
  title: 'sign-ins by password, each beside its own hash in a loop',
  // With this number, a login always waits, and the issuer refuses none.
  connections: 8,
  async ours(bench) {
    const { start } = createIssuer({ name: 'login', users, hash: 'default' }, bench)
    return [loginSubject('gatepass, Argon2id', argon2id, start, loginRequests(users), bench)]
  },
  async rivals(bench) {
    installRivals()
    const args = [String(users), hashPassword('default')]
    const start = () => startOnRedis('programs/by-hand', args, bench)
    return [
      loginSubject(byHand, argon2id, start, loginRequests(users), bench),
      betterAuth(bench),
      loopSubject(argon2id, 'programs/hash', ['argon2id'], bench),
      loopSubject(scrypt, 'programs/hash', ['scrypt'], bench),
    ]
  },
}

function betterAuth(bench: Bench): Subject {
  // The public origin, which a browser sends with a sign-in.
  const origin = 'http://127.0.0.1:3000'
  const headers = { 'content-type': 'application/json', origin }
  const requests = Array.from({ length: rivalUsers }, (_, n) => {
    const body = JSON.stringify({ email: `${userName(n)}@example.com`, password })
    return { method: 'POST', path: '/api/auth/sign-in/email', headers, body }
  })
  const start = () => {
    const file = join(mkdtempSync(join(bench.scratch, 'better-auth-')), 'auth.db')
    return startServer('programs/better-auth', [origin, String(rivalUsers), password, file], bench)
  }
  return loginSubject('better-auth, scrypt', scrypt, start, requests, bench)
}

/** @param limit the name of the subject that only hashes */
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
  return serverSubject({ name, comparedWith: [limit], start, check, traffic }, bench)
}
