import { DatabaseSync } from 'node:sqlite'
import { type Auth, betterAuth } from 'better-auth'
import { getMigrations } from 'better-auth/db/migration'
import { fromNodeHeaders } from 'better-auth/node'
import { jwt } from 'better-auth/plugins'
import fastify from 'fastify'
import { serve } from '../servers/ready.ts'
import { layOutUsers } from './better-auth-users.ts'

/**
 * better-auth behind Fastify, as its documentation has it: mounted below /api/auth, sign-in by e-mail
 * and password, sessions in a database (here SQLite by node:sqlite), its cookie cache on, and JWTs
 * from its plugin, signed as ours are. Beside it a route for those who are signed in.
 */

const [body = '{}', file = '', secret = '', baseURL = '', userCount = '0', password = ''] =
  process.argv.slice(2)
const database = new DatabaseSync(file)
const auth: Auth = betterAuth({
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
const { hash } = (await auth.$context).password
layOutUsers(database, Number(userCount), await hash(password))

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
app.get('/verify', async (request, reply) => {
  const session = await auth.api.getSession({ headers: fromNodeHeaders(request.headers) })
  if (session === null) return reply.code(401).send({ error: 'unauthorized' })
  return reply.type('application/json').send(body)
})
await serve(app)
