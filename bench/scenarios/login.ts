import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { installPeers } from '../harness/peers.ts'
import { type Server, startServer } from '../harness/processes.ts'
import type { Bench, Scenario, Subject } from '../harness/scenario.ts'
import { looped, served } from '../harness/subjects.ts'
import type { HttpRequest } from '../harness/traffic.ts'
import { hashCosts, Issuer, loginRequests, password } from '../issuer.ts'
import { betterAuthLogin } from './better-auth.ts'

/** So many that none signs in often: sessions of a user pile up, and are limited. */
const users = 4_096
const argon2id = 'Argon2id, nothing else'
const scrypt = 'scrypt, nothing else'

export const login: Scenario = {
  name: 'login',
  title: 'sign-ins by password, each beside its own hash in a loop',
  packages: ['@fastify/jwt', 'better-auth', 'fastify'],
  // A login is waiting whenever a hash is done, and none waits for too long.
  connections: 8,
  async ours(bench) {
    const spec = { name: 'login', store: 'SQLite', users, hash: 'default' } as const
    const issuer = await Issuer.create(spec, bench)
    const signIns = { start: () => issuer.start(), requests: loginRequests(users) }
    return [loginSubject('gatepass, Argon2id', argon2id, signIns, bench)]
  },
  async rivals(bench) {
    installPeers()
    const cost = JSON.stringify(hashCosts.default)
    const startByHand = () => {
      const file = join(mkdtempSync(join(bench.scratch, 'by-hand-')), 'users.db')
      return startServer('programs/login-by-hand', [String(users), password, file, cost], bench)
    }
    const byHand = { start: startByHand, requests: loginRequests(users) }
    return [
      loginSubject('@fastify/jwt by hand, Argon2id', argon2id, byHand, bench),
      loginSubject('better-auth, scrypt', scrypt, betterAuthLogin(users, password, bench), bench),
      looped(argon2id, 'programs/hash', ['argon2id', cost], bench),
      looped(scrypt, 'programs/hash', ['scrypt'], bench),
    ]
  },
}

interface SignIns {
  start(): Promise<Server>
  readonly requests: readonly HttpRequest[]
}

/** A wrong password is refused before the load; the load shows that a right one is not. */
function loginSubject(
  name: string,
  limit: string,
  { start, requests }: SignIns,
  bench: Bench,
): Subject {
  const check = async (url: string) => {
    const { path = '', headers = {}, body = '' } = requests[0] ?? {}
    const wrong = body.replace(password, `${password}!`)
    const { status } = await fetch(`${url}${path}`, { method: 'POST', headers, body: wrong })
    if (status !== 401) throw new Error(`${name} answers ${status} to a wrong password`)
  }
  const traffic = () => ({ kind: 'requests', requests }) as const
  return served({ name, limit, start, check, traffic }, bench)
}
