import { argon2, generateKeyPairSync, randomBytes, randomUUID, timingSafeEqual } from 'node:crypto'
import { DatabaseSync } from 'node:sqlite'
import { promisify } from 'node:util'
import fastifyJwt from '@fastify/jwt'
import fastify from 'fastify'
import { argon2idCost } from '../raw/argon2id-cost.ts'
import { serve } from './ready.ts'

/**
 * The login that one writes in an afternoon: a row by its name, Argon2id in Node's pool, a token by
 * @fastify/jwt, a session in SQLite. Nothing counts failures, and it keeps no log.
 */

const [userCount = '0', password = '', file = ''] = process.argv.slice(2)
const { memory_kib: memory, passes, parallelism } = argon2idCost
const hash = promisify(argon2)

function hashOf(message: string, nonce: Buffer): Promise<Buffer> {
  const tagLength = 32
  return hash('argon2id', { message, nonce, memory, passes, parallelism, tagLength })
}

const database = new DatabaseSync(file)
database.exec(`
  PRAGMA journal_mode = WAL;
  CREATE TABLE users (name TEXT PRIMARY KEY, nonce BLOB, hash BLOB);
  CREATE TABLE sessions (token TEXT PRIMARY KEY, name TEXT)`)
const nonce = randomBytes(16)
const addUser = database.prepare('INSERT INTO users VALUES (?, ?, ?)')
const hashed = await hashOf(password, nonce)
for (let n = 0; n < Number(userCount); n++) addUser.run(`user-${n}`, nonce, hashed)
const findUser = database.prepare('SELECT nonce, hash FROM users WHERE name = ?')
const addSession = database.prepare('INSERT INTO sessions VALUES (?, ?)')

const { privateKey, publicKey } = generateKeyPairSync('ec', {
  namedCurve: 'P-256',
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  publicKeyEncoding: { type: 'spki', format: 'pem' },
})
const app = fastify()
await app.register(fastifyJwt, {
  secret: { private: privateKey, public: publicKey },
  sign: { algorithm: 'ES256', expiresIn: 300, iss: 'http://localhost:4000' },
})
app.post<{ Body: { username: string; password: string } }>('/login', async (request, reply) => {
  const { username, password } = request.body
  const user = findUser.get(username) as { nonce: Buffer; hash: Buffer } | undefined
  const found = await hashOf(password, Buffer.from(user?.nonce ?? nonce))
  if (user === undefined || !timingSafeEqual(found, user.hash)) return reply.code(401).send()
  const refresh_token = randomBytes(32).toString('base64url')
  addSession.run(refresh_token, username)
  const access_token = await reply.jwtSign({ sub: username, jti: randomUUID() })
  return { access_token, token_type: 'Bearer', expires_in: 300, refresh_token }
})
await serve(app)
