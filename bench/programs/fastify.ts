import { generateKeyPairSync, sign, verify } from 'node:crypto'
import fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import type { Trust } from '../tokens.ts'
import { importGatepass, smallCache } from './packages.ts'
import { serve } from './serve.ts'
import { createCheck, pemOf, tunedCache, type VerifierName } from './verifiers.ts'

/**
 * A route of Fastify that answers everything with the same text, behind one guard: a plugin, a library
 * in a hook, or nothing. `fastify <guard> <trust> <text>`
 */

const [guard = '', given = '{}', text = '{}'] = process.argv.slice(2)
const trust = JSON.parse(given) as Trust
const app = fastify()

/** The guards that are plugins. */
const guards: Readonly<Record<string, () => Promise<void>>> = {
  bare: async () => {},
  gatepass: () => gatepass(),
  'gatepass, nothing kept': () => gatepass({ cache: smallCache }),
  '@fastify/jwt': () => jwtPlugin({ cache: true }),
  '@fastify/jwt, tuned': () => jwtPlugin(tunedCache),
  'bare route that checks a signature': checkRawSignature,
  'bare route that signs': signRawInput,
}

async function gatepass(more: { readonly cache?: typeof smallCache } = {}): Promise<void> {
  const { gatepassAuth } = await importGatepass('fastify')
  await app.register(gatepassAuth, { ...trust, ...more })
}

async function jwtPlugin(cache: { readonly cache: true } | typeof tunedCache): Promise<void> {
  const { default: fastifyJwt } = await import('@fastify/jwt')
  const { issuer: allowedIss, audience: allowedAud } = trust
  await app.register(fastifyJwt, {
    secret: { public: pemOf(trust), private: '' },
    verify: { ...cache, algorithms: ['ES256'], allowedIss, allowedAud },
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

/** Signs as many bytes as the header and claims of an access token have. */
async function signRawInput(): Promise<void> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const bytes = Buffer.alloc(550, 'a')
  app.addHook('preHandler', (_request, _reply, done) => {
    sign('sha256', bytes, privateKey)
    done()
  })
}

/** Guards with a library in a hook, without a promise if the library is synchronous. */
async function addLibrary(target: FastifyInstance, name: VerifierName): Promise<void> {
  const check = await createCheck(name, trust)
  const tokenOf = ({ headers: { authorization = '' } }: FastifyRequest) =>
    authorization.startsWith('Bearer ') ? authorization.slice('Bearer '.length) : ''
  target.addHook('onRequest', (request, reply, done) => {
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

const addGuard = guards[guard] ?? (() => addLibrary(app, guard as VerifierName))
await addGuard()
app.route({
  method: ['GET', 'POST'],
  url: '*',
  handler: (_request, reply) => reply.type('application/json').send(text),
})
await serve(app)
