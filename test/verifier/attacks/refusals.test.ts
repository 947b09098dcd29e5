import { once } from 'node:events'
import { get, type IncomingMessage, type ServerResponse } from 'node:http'
import express from 'express'
import Fastify from 'fastify'
import { Hono } from 'hono'
import t, { type Test } from 'tap'
import { requireToken } from '../../../src/verifier/express.ts'
import { gatepassAuth } from '../../../src/verifier/fastify.ts'
import { tokenGuard } from '../../../src/verifier/fetch.ts'
import {
  createVerifier,
  GatepassError,
  type KeySource,
  type Verifier,
} from '../../../src/verifier/index.ts'
import { createFixedKeys, readKeySet } from '../../../src/verifier/keys/key-source.ts'
import { startHttpServer } from '../../support/http-server.ts'
import { audience, claimsWith, mint, now_s } from '../../support/tokens.ts'
import { jwks, keyOf, options } from '../harness.ts'

const key = keyOf('ES256')
const bearer = (changes: Record<string, unknown> = {}) =>
  `Bearer ${mint(key, { payload: claimsWith(changes) })}`

/** A failure whose message must not reach a client. */
const failing: Verifier = {
  ...createVerifier(options),
  verify: () => {
    throw new Error('secret')
  },
}

/** A verifier in JavaScript with an error code that does not exist. */
const misspelled: Verifier = {
  ...createVerifier(options),
  verify: async () => {
    throw new GatepassError('token_expird' as never, { detail: 'secret' })
  },
}

const noKeys: KeySource = {
  ...createFixedKeys(readKeySet(jwks)),
  find: () => 'keys_unavailable',
}

interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
}

type Call = (headers: Record<string, string>) => Promise<Answer>

const callOf =
  (url: string): Call =>
  async (headers) => {
    const response = await fetch(url, { headers })
    return { status: response.status, headers: response.headers, text: await response.text() }
  }

/** A route of each framework, with its own handling of errors, behind a guard. */
const frameworks: Record<string, (t: Test, verifier: Verifier) => Promise<Call>> = {
  'Express 5': async (t, verifier) => {
    const app = express()
    // Here its own handler shows the stack.
    app.set('env', 'development')
    app.get(
      '/',
      requireToken(verifier, { scope: 'orders:write' }),
      (_q: unknown, response: ServerResponse) => {
        response.end('ok')
      },
    )
    return callOf((await startHttpServer(t, app)).url)
  },
  'node:http': async (t, verifier) => {
    const guard = requireToken(verifier, { scope: 'orders:write' })
    const { url } = await startHttpServer(t, (request, response) =>
      guard(request, response, () => response.end('ok')),
    )
    return callOf(url)
  },
  Fastify: async (t, verifier) => {
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(gatepassAuth, { verifier })
    app.get('/', { config: { auth: { scope: 'orders:write' } } }, () => 'ok')
    return callOf(await app.listen({ port: 0, host: '127.0.0.1' }))
  },
  'Fastify, a route before the plugin': async (t, verifier) => {
    const app = Fastify()
    t.teardown(() => app.close())
    app.register(gatepassAuth, { verifier })
    app.get('/', { config: { auth: { scope: 'orders:write' } } }, () => 'ok')
    return callOf(await app.listen({ port: 0, host: '127.0.0.1' }))
  },
  Hono: async (_t, verifier) => {
    const guard = tokenGuard(verifier, { scope: 'orders:write' })
    const app = new Hono()
    app.get('/', async (context) => (await guard(context.req.raw)).refusal ?? context.text('ok'))
    return async (headers) => {
      const response = await app.request('/', { headers })
      return { status: response.status, headers: response.headers, text: await response.text() }
    }
  },
}

/** The body of a refusal is this and no more: no stack, no path, no message. */
function checkProblem(t: Test, { headers, status, text }: Answer, code: string): void {
  t.match(headers.get('content-type'), /^application\/problem\+json(; charset=utf-8)?$/, code)
  t.equal(headers.get('cache-control'), 'no-store')
  const { title, ...body } = JSON.parse(text)
  t.same(body, { type: `urn:gatepass:error:${code}`, status, code })
  t.match(title, /^[A-Z][\w ,.]+\.$/)
}

for (const [name, open] of Object.entries(frameworks)) {
  t.test(`A34: ${name} answers each refusal with a problem and its challenge`, async (t) => {
    const { jwks: _, ...others } = options
    const [without, broken, unknown, call] = await Promise.all([
      open(t, createVerifier({ ...others, keys: noKeys })),
      open(t, failing),
      open(t, misspelled),
      open(t, createVerifier(options)),
    ])
    const invalid = (code: string) => `Bearer error="invalid_token", error_description="${code}"`
    const cases: [Call, Record<string, string>, number, string, string | null][] = [
      [call, {}, 401, 'token_missing', 'Bearer'],
      [call, { authorization: 'Bearer x' }, 401, 'token_malformed', invalid('token_malformed')],
      [
        call,
        { authorization: bearer({ exp: now_s - 60 }) },
        401,
        'token_expired',
        invalid('token_expired'),
      ],
      [
        call,
        { authorization: bearer() },
        403,
        'scope_insufficient',
        'Bearer error="insufficient_scope", scope="orders:write"',
      ],
      [without, { authorization: bearer() }, 503, 'keys_unavailable', null],
      [broken, { authorization: bearer() }, 500, 'internal_error', null],
      [unknown, { authorization: bearer() }, 500, 'internal_error', null],
    ]
    for (const [present, headers, status, code, challenge] of cases) {
      const answer = await present(headers)
      t.equal(answer.status, status, code)
      checkProblem(t, answer, code)
      t.equal(answer.headers.get('www-authenticate'), challenge)
      t.equal(answer.headers.get('retry-after'), status === 503 ? '1' : null)
    }
    t.equal((await call({ authorization: bearer({ scope: 'orders:write' }) })).text, 'ok')
  })
}

t.test('A34: a HEAD that is refused has no body', async (t) => {
  const app = express()
  app.use(requireToken(createVerifier(options)))
  const sent = get((await startHttpServer(t, app)).url, { method: 'HEAD' })
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  t.equal(response.statusCode, 401)
  t.same(await response.toArray(), [])
})

t.test('onRefused: each adapter lets the application answer', async (t) => {
  const verifier = createVerifier(options)
  const check = async ({ status, headers, text }: Answer, code = 'token_missing') => {
    t.equal(status, 401)
    t.equal(headers.get('www-authenticate'), 'Bearer')
    t.same(JSON.parse(text), { mine: code })
  }

  const app = express()
  app.get(
    '/own',
    requireToken(verifier, {
      onRefused: async ({ code }, _request, response) =>
        response.end(JSON.stringify({ mine: code })),
    }),
  )
  app.get('/next', requireToken(verifier, { onRefused: (error, _q, _s, next) => next(error) }))
  const fails = requireToken(verifier, { onRefused: () => Promise.reject(new Error('mine')) })
  app.get('/fails', fails)
  app.use((error: Error, _request: unknown, response: ServerResponse, _next: unknown) => {
    const mine = 'code' in error ? error.code : error.message
    response.end(JSON.stringify({ mine }))
  })
  const { url } = await startHttpServer(t, app)
  for (const path of ['/own', '/next']) await check(await callOf(`${url}${path}`)({}))
  await check(await callOf(`${url}/fails`)({}), 'mine')

  for (const onRefused of [
    (_error: unknown, _request: unknown, reply: { send(body: object): unknown }) =>
      reply.send({ mine: 'token_missing' }),
    async (_error: unknown, _request: unknown, reply: { send(body: object): unknown }) =>
      reply.send({ mine: 'token_missing' }),
    (error: Error) => {
      throw error
    },
    (error: Error) => Promise.reject(error),
  ]) {
    const fastify = Fastify()
    t.teardown(() => fastify.close())
    fastify.setErrorHandler((error, _request, reply) =>
      reply.send({ mine: (error as { code?: string }).code }),
    )
    await fastify.register(gatepassAuth, { verifier, onRefused })
    fastify.get('/', () => 'ok')
    await check(await callOf(await fastify.listen({ port: 0, host: '127.0.0.1' }))({}))
  }

  const guard = tokenGuard(verifier, {
    onRefused: async ({ code }, request, response) => {
      t.equal(request.url, 'https://api.test/')
      const { status, headers } = response
      return new Response(JSON.stringify({ mine: code }), { status, headers })
    },
  })
  const { refusal } = await guard(new Request('https://api.test/'))
  if (refusal === null) return t.fail('the request was accepted')
  const { status, headers } = refusal
  await check({ status, headers, text: await refusal.text() })
})

t.test(
  'onRefused: a Fastify hook that sends nothing leaves the answer to the plugin',
  async (t) => {
    const seen: string[] = []
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(gatepassAuth, {
      ...options,
      onRefused: async (error, request) => void seen.push(`${request.url} ${error.code}`),
    })
    app.get('/', () => 'ok')
    const response = await app.inject('/')
    t.equal(response.statusCode, 401)
    t.match(response.json(), { code: 'token_missing' })
    t.same(seen, ['/ token_missing'])
  },
)

t.test('onRefused: a rejection without an error lets nobody in', async (t) => {
  for (const reason of [undefined, null, '', 'route', 'router']) {
    const verifier = createVerifier(options)
    const onRefused = () => Promise.reject(reason)
    const reached: string[] = []

    const app = express()
    app.set('env', 'test')
    app.get('/', requireToken(verifier, { onRefused }), (_q: unknown, response: ServerResponse) => {
      reached.push('Express')
      response.end()
    })
    const calls = [callOf((await startHttpServer(t, app)).url)]

    for (const isAwaited of [true, false]) {
      const fastify = Fastify()
      t.teardown(() => fastify.close())
      const registered = fastify.register(gatepassAuth, { verifier, onRefused })
      if (isAwaited) await registered
      fastify.get('/', () => reached.push('Fastify'))
      calls.push(callOf(await fastify.listen({ port: 0, host: '127.0.0.1' })))
    }
    const statuses = await Promise.all(calls.map(async (call) => (await call({})).status))
    t.same(statuses, [500, 500, 500], `${reason}`)
    t.same(reached, [])
  }
})

t.test('onRefused: anything but a function stops the start', async (t) => {
  const verifier = createVerifier(options)
  const onRefused = 'next' as never
  t.throws(() => requireToken(verifier, { onRefused }), { code: 'config_invalid' })
  t.throws(() => tokenGuard(verifier, { onRefused }), { code: 'config_invalid' })
  const app = Fastify()
  t.teardown(() => app.close())
  await t.rejects(async () => app.register(gatepassAuth, { verifier, onRefused }), {
    code: 'config_invalid',
  })
})

t.test(
  'token_claims names the claims in the error, and to clients outside production',
  async (t) => {
    const { NODE_ENV } = process.env
    t.teardown(() => {
      if (NODE_ENV === undefined) delete process.env.NODE_ENV
      else process.env.NODE_ENV = NODE_ENV
    })
    const guard = tokenGuard(createVerifier(options))
    const cases: [Record<string, unknown>, object[]][] = [
      [
        { aud: 'https://secret.test' },
        [{ pointer: '/aud', detail: `must be or hold "${audience}"` }],
      ],
      [
        { iss: 'https://secret.test' },
        [{ pointer: '/iss', detail: 'must be "https://auth.test"' }],
      ],
      [
        { jti: undefined, client_id: undefined, exp: 'secret' },
        [
          { pointer: '/exp', detail: 'must be whole seconds since 1970' },
          { pointer: '/jti', detail: 'must be a string that is not empty' },
          { pointer: '/client_id', detail: 'must be a string that is not empty' },
        ],
      ],
    ]
    for (const [changes, problems] of cases) {
      const token = mint(key, { payload: claimsWith(changes) })
      const error = await createVerifier(options)
        .verify(token)
        .catch((error) => error)
      t.same(error.problems, problems)
      t.notMatch(JSON.stringify(error), 'secret')
      for (const environment of ['production', 'test', undefined]) {
        if (environment === undefined) delete process.env.NODE_ENV
        else process.env.NODE_ENV = environment
        const request = new Request('https://api.test/', {
          headers: { authorization: `Bearer ${token}` },
        })
        const { refusal } = await guard(request)
        const { errors } = JSON.parse((await refusal?.text()) ?? '{}')
        t.same(errors, environment === 'production' ? undefined : problems, `${environment}`)
      }
    }
  },
)
