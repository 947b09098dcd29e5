import { createUserBase } from './user-base.ts'
import { newUser, Users } from './users.ts'

/**
 * A sample user base that Gatepass asks for accounts. docs/webhook.md starts it, and describes the
 * messages.
 */

const secrets = (process.env.GATEPASS_WEBHOOK_SECRET ?? '').split(/[\s,]+/).filter(Boolean)
if (secrets.length === 0) {
  console.error('GATEPASS_WEBHOOK_SECRET is not set.')
  process.exit(2)
}

const users = new Users()
users.add(newUser('ada', 'correct horse battery', { name: 'Ada', roles: ['admin'] }))
users.add(newUser('bob', 'another good one', { name: 'Bob', roles: [] }))

const server = createUserBase({
  users,
  secrets,
  log: (line) => console.log(JSON.stringify(line)),
})
server.listen(Number(process.env.PORT ?? 5000), '127.0.0.1', () => {
  console.log(JSON.stringify({ msg: 'ready', ...(server.address() as { port: number }) }))
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => server.close(() => process.exit()).closeIdleConnections())
}
