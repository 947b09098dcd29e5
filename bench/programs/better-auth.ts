import { createHmac } from 'node:crypto'
import { DatabaseSync } from 'node:sqlite'
import { betterAuth } from 'better-auth'
import { getMigrations } from 'better-auth/db/migration'
import { fromNodeHeaders } from 'better-auth/node'
import { jwt } from 'better-auth/plugins'
import fastify from 'fastify'
import { serve } from './serve.ts'

/**
 * better-auth behind Fastify, as its documentation has it: mounted below /api/auth, sign-in by e-mail
 * and password, sessions in SQLite, its cookie cache on, and JWTs from its plugin, signed as ours are.
 * `better-auth <origin> <users> <password> <file>`
 *
 * Its users and sessions are laid out as rows, without as many hashes. `/cookies` gives the cookie of
 * each session.
 */

const [baseURL = '', users = '0', password = '', file = ''] = process.argv.slice(2)
const secret = 'a secret of this process alone, as long as it has to be'
const week_ms = 7 * 24 * 3600 * 1000
const database = new DatabaseSync(file)
const auth = betterAuth({
  database,
  secret,
  baseURL,
  emailAndPassword: { enabled: true },
  session: { cookieCache: { enabled: true, maxAge: 300 } },
  plugins: [jwt({ jwks: { keyPairConfig: { alg: 'ES256' } } })],
  // All the load is from one address.
  rateLimit: { enabled: false },
  telemetry: { enabled: false },
})
const { runMigrations } = await getMigrations(auth.options)
await runMigrations()
layOutUsers(await (await auth.$context).password.hash(password))

const app = fastify()
app.route({
  method: ['GET', 'POST'],
  url: '/api/auth/*',
  async handler(request, reply) {
    const response = await auth.handler(
      new Request(new URL(request.url, baseURL), {
        method: request.method,
        headers: fromNodeHeaders(request.headers),
        ...(request.body ? { body: JSON.stringify(request.body) } : {}),
      }),
    )
    reply.code(response.status)
    for (const [name, value] of response.headers) reply.header(name, value)
    return reply.send(response.body === null ? null : await response.text())
  },
})
app.get('/cookies', async () => Array.from({ length: Number(users) }, (_, n) => cookieOf(n)))
await serve(app)

/** Each with one session. */
function layOutUsers(passwordHash: string): void {
  const now = new Date().toISOString()
  const expiresAt = new Date(Date.now() + week_ms).toISOString()
  const addUser = database.prepare('INSERT INTO user VALUES (?, ?, ?, 0, NULL, ?, ?)')
  const addAccount = database.prepare(
    `INSERT INTO account (id, accountId, providerId, userId, password, createdAt, updatedAt)
     VALUES (?, ?, 'credential', ?, ?, ?, ?)`,
  )
  const addSession = database.prepare("INSERT INTO session VALUES (?, ?, ?, ?, ?, '', '', ?)")
  database.exec('BEGIN')
  for (let n = 0; n < Number(users); n++) {
    const id = `user-${n}`
    addUser.run(id, `User ${n}`, `${id}@example.com`, now, now)
    addAccount.run(`account-${n}`, id, id, passwordHash, now, now)
    addSession.run(`session-${n}`, expiresAt, sessionTokenOf(n), now, now, id)
  }
  database.exec('COMMIT')
}

function sessionTokenOf(n: number): string {
  return `initial-${n}-`.padEnd(32, '0')
}

function cookieOf(n: number): string {
  const token = sessionTokenOf(n)
  const mac = createHmac('sha256', secret).update(token).digest('base64')
  return `better-auth.session_token=${encodeURIComponent(`${token}.${mac}`)}`
}
