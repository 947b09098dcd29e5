import { DatabaseSync } from 'node:sqlite'
import { betterAuth } from 'better-auth'
import { getMigrations } from 'better-auth/db/migration'
import { fromNodeHeaders } from 'better-auth/node'
import fastify from 'fastify'
import { serve } from './serve.ts'

/**
 * better-auth behind Fastify, as its documentation shows: sign-in by e-mail and password below /api/auth,
 * accounts and sessions in SQLite. `better-auth <origin> <users> <password> <file>`
 */

const [baseURL = '', users = '0', password = '', file = ''] = process.argv.slice(2)
const database = new DatabaseSync(file)
const auth = betterAuth({
  database,
  baseURL,
  secret: 'a secret of this process, as long as required',
  emailAndPassword: { enabled: true },
  // The load comes from one address.
  rateLimit: { enabled: false },
  telemetry: { enabled: false },
})
const { runMigrations } = await getMigrations(auth.options)
await runMigrations()

for (let n = 0; n < Number(users); n++) {
  const email = `user-${n}@example.com`
  await auth.api.signUpEmail({ body: { name: email, email, password } })
}

const app = fastify()
app.post('/api/auth/*', async (request, reply) => {
  const headers = fromNodeHeaders(request.headers)
  const body = JSON.stringify(request.body)
  const sent = new Request(new URL(request.url, baseURL), { method: 'POST', headers, body })
  const response: Response = await auth.handler(sent)
  reply.code(response.status)
  for (const [name, value] of response.headers) reply.header(name, value)
  return reply.send(response.body === null ? null : await response.text())
})
await serve(app)
