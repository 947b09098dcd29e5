import { createPublicKey, generateKeyPairSync, type JsonWebKey, sign, verify } from 'node:crypto'
import fastify, { type FastifyRequest } from 'fastify'
import type { JSONWebKeySet } from 'jose'
import type { Trust } from '../tokens.ts'
import { importGatepass } from './packages.ts'
import { serve } from './serve.ts'

/**
 * A route of Fastify that always answers with the same text, behind a guard: a plugin, a library in a hook,
 * or nothing. `fastify <guard> <trust> <text>`
 */

const [guard = '', trustJson = '{}', text = '{}'] = process.argv.slice(2)
const trust = JSON.parse(trustJson) as Trust
const { issuer, audience, jwks } = trust
const app = fastify()

/** A cache so small that it has dropped each token when the token returns. */
const smallCache = { maxBytes: 1024 ** 2 }
/**
 * The fastest cache of fast-jwt and @fastify/jwt: room for all tokens, and the whole token as the key.
 * By default it keeps 1,000 tokens under their hashes.
 */
const tunedCache = { cache: 131_072, cacheKeyBuilder: (token: string): string => token }

/** The guards that are plugins. */
const guards: Readonly<Record<string, () => Promise<void>>> = {
  bare: async () => {},
  gatepass: () => gatepass(),
  'gatepass, nothing kept': () => gatepass({ cache: smallCache }),
  '@fastify/jwt': () => jwtPlugin({ cache: true }),
  '@fastify/jwt, tuned': () => jwtPlugin(tunedCache),
  'bare route that checks a signature': checkRawSignature,
  'bare route that signs': () => signRawInput('der'),
  'bare route that signs ES256': () => signRawInput('ieee-p1363'),
}

async function gatepass(more: { readonly cache?: typeof smallCache } = {}): Promise<void> {
  const { gatepassAuth } = await importGatepass('fastify')
  await app.register(gatepassAuth, { ...trust, ...more })
}

async function jwtPlugin(cache: { readonly cache: true } | typeof tunedCache): Promise<void> {
  const { default: fastifyJwt } = await import('@fastify/jwt')
  await app.register(fastifyJwt, {
    secret: { public: pem(), private: '' },
    verify: { ...cache, algorithms: ['ES256'], allowedIss: issuer, allowedAud: audience },
  })
  app.addHook('onRequest', async (request) => {
    await request.jwtVerify()
  })
}

/** Verifies one of many signatures. A single repeated signature costs a µs less. */
async function checkRawSignature(): Promise<void> {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const signed = Array.from({ length: 4096 }, (_, n) => {
    const bytes = Buffer.alloc(460, `a${n}.`)
    return { bytes, signature: sign('sha256', bytes, privateKey) }
  })
  let turn = 0
  app.addHook('onRequest', (_request, reply, done) => {
    turn = (turn + 1) % signed.length
    const { bytes, signature } = signed[turn] as (typeof signed)[0]
    if (verify('sha256', bytes, publicKey, signature)) done()
    else reply.code(401).send()
  })
}

/**
 * Signs as many bytes as the header and claims of an access token have. ES256 is ieee-p1363
 * (RFC 7518 §3.4); OpenSSL makes DER.
 */
async function signRawInput(dsaEncoding: 'der' | 'ieee-p1363'): Promise<void> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const key = dsaEncoding === 'der' ? privateKey : { key: privateKey, dsaEncoding }
  const bytes = Buffer.alloc(550, 'a')
  app.addHook('preHandler', (_request, _reply, done) => {
    sign('sha256', bytes, key)
    done()
  })
}

/** Throws or rejects if it refuses a token. */
type Check = (token: string) => unknown

/** Libraries that verify tokens, set up as their documentation shows. */
const libraries: Readonly<Record<string, () => Promise<Check>>> = {
  'fast-jwt': () => fastJwt({ cache: true }),
  'fast-jwt, tuned': () => fastJwt(tunedCache),
  jose: async () => {
    const { createLocalJWKSet, jwtVerify } = await import('jose')
    const keys = createLocalJWKSet(jwks as JSONWebKeySet)
    return (token) => jwtVerify(token, keys, { issuer, audience })
  },
  jsonwebtoken: async () => {
    const { default: jsonwebtoken } = await import('jsonwebtoken')
    // A key object, because the library would parse a PEM text at each call.
    const key = publicKey()
    return (token) => jsonwebtoken.verify(token, key, { algorithms: ['ES256'], issuer, audience })
  },
  'aws-jwt-verify': async () => {
    const { JwtVerifier } = await import('aws-jwt-verify')
    const verifier = JwtVerifier.create({ issuer, audience, jwksUri: `${issuer}/jwks.json` })
    verifier.cacheJwks(jwks)
    return (token) => verifier.verify(token)
  },
}

async function fastJwt(cache: { readonly cache: true } | typeof tunedCache): Promise<Check> {
  const { createVerifier } = await import('fast-jwt')
  const options = { algorithms: ['ES256' as const], allowedIss: issuer, allowedAud: audience }
  return createVerifier({ key: pem(), ...cache, ...options })
}

function publicKey() {
  return createPublicKey({ key: jwks.keys[0] as JsonWebKey, format: 'jwk' })
}

function pem(): string {
  return String(publicKey().export({ type: 'spki', format: 'pem' }))
}

/** Guards the route with a library in a hook, without a promise if the library is synchronous. */
async function addLibrary(): Promise<void> {
  const check = await libraries[guard]?.()
  if (check === undefined) throw new Error(`there is no guard ${guard}`)
  const tokenOf = ({ headers: { authorization = '' } }: FastifyRequest) =>
    authorization.startsWith('Bearer ') ? authorization.slice('Bearer '.length) : ''
  app.addHook('onRequest', (request, reply, done) => {
    const refuse = () => void reply.code(401).send({ error: 'invalid_token' })
    try {
      const pending = check(tokenOf(request))
      if (pending instanceof Promise) pending.then(() => done(), refuse)
      else done()
    } catch {
      refuse()
    }
  })
}

await (guards[guard] ?? addLibrary)()
app.all('*', (_request, reply) => reply.type('application/json').send(text))
await serve(app)
