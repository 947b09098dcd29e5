import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import type { Request } from 'autocannon'
import { byRate } from '../harness/compare.ts'
import type { Bench, Scenario } from '../harness/scenario.ts'
import { loop, type ServedSubject, served } from '../harness/subjects.ts'
import { emailOf } from '../peers/better-auth-users.ts'
import { installPeers } from '../peers/install.ts'
import { createAccounts, hashSettings } from './accounts.ts'
import { BetterAuth, origin, password } from './better-auth.ts'
import { IssuerService } from './issuer-service.ts'

const userCount = 4096
const ours = 'gatepass, Argon2id'
const byHand = '@fastify/jwt by hand, Argon2id'
const betterAuth = 'better-auth, scrypt'
const argon2id = 'Argon2id, nothing else'
const scrypt = 'scrypt, nothing else'

export const peersLogin: Scenario = {
  name: 'peers-login',
  title: 'sign-ins by password, each beside its own hash in a loop',
  packages: ['@fastify/jwt', 'better-auth', 'fastify'],
  // Enough to have a login waiting whenever a hash is done.
  connections: 8,
  async prepare(bench) {
    installPeers()
    const raw = (name: string, file: string) =>
      loop({ name, module: new URL(`../raw/${file}`, import.meta.url) }, bench)
    const subjects = [
      await issuerSubject(bench),
      handRolledSubject(bench),
      betterAuthSubject(bench),
    ]
    return {
      subjects: [
        ...subjects.map((subject) => served(subject, bench)),
        raw(argon2id, 'argon2id.ts'),
        raw(scrypt, 'scrypt.ts'),
      ],
      comparisons: [
        ...byRate({ subject: ours, limit: argon2id }),
        ...byRate({ subject: byHand, limit: argon2id }),
        ...byRate({ subject: betterAuth, limit: scrypt }),
        ...byRate({ subject: ours, limit: byHand }),
      ],
    }
  },
}

async function issuerSubject(bench: Bench): Promise<ServedSubject> {
  const issuer = await IssuerService.create(bench, hashSettings)
  return loginSubject(ours, () => issuer.spec(), await createAccounts(issuer.template))
}

function handRolledSubject(bench: Bench): ServedSubject {
  const requests = Array.from({ length: userCount }, (_, n) =>
    loginRequest('/login', { username: `user-${n}`, password }),
  )
  const module = new URL('../servers/hand-rolled-login.ts', import.meta.url)
  const server = () => {
    const file = join(mkdtempSync(join(bench.scratch, 'by-hand-')), 'users.db')
    return { name: byHand, module, args: [String(userCount), password, file] }
  }
  return loginSubject(byHand, server, requests)
}

function betterAuthSubject(bench: Bench): ServedSubject {
  const server = new BetterAuth(userCount, bench)
  const requests = Array.from({ length: userCount }, (_, n) =>
    loginRequest('/api/auth/sign-in/email', { email: emailOf(n), password }, { origin }),
  )
  return loginSubject(betterAuth, () => server.spec(), requests)
}

function loginRequest(path: string, body: object, more: Record<string, string> = {}): Request {
  const headers = { 'content-type': 'application/json', ...more }
  return { method: 'POST', path, headers, body: JSON.stringify(body) }
}

/** A wrong password is refused before anything is measured; that a right one is not, the load shows. */
function loginSubject(
  name: string,
  server: ServedSubject['server'],
  requests: readonly Request[],
): ServedSubject {
  return {
    name,
    server,
    async check(url) {
      const { path, headers = {}, body = '' } = requests.at(-1) ?? loginRequest('', {})
      const wrong = body.replace(password, `${password}!`)
      const response = await fetch(`${url}${path}`, { method: 'POST', headers, body: wrong })
      if (response.status !== 401) throw new Error(`${name} answers ${response.status} to a forger`)
    },
    traffic: () => ({ kind: 'fixed', requests }),
  }
}
