import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import express, { type RequestHandler } from 'express'
import t, { type Test } from 'tap'
import type { Client } from '../../src/issuer/clients.ts'
import { requireToken, resourceMetadata } from '../../src/verifier/express.ts'
import { createVerifier, isGatepassError, type Verifier } from '../../src/verifier/index.ts'
import { closedWith } from '../support/closed-with.ts'
import { startHttpServer } from '../support/http-server.ts'
import { claimsOf, issuerUrl } from '../support/issuer.ts'
import { createMcpClient, FileTokens, loadMcp, mcpRedirectUri } from '../support/mcp.ts'
import { startOAuth } from '../support/oauth.ts'
import { compileCache } from '../support/processes.ts'
import { projectFolder } from '../support/project.ts'
import { createTestFolder } from '../support/test-folder.ts'
import { Visitor } from '../support/visitor.ts'

/** The SDK of the Model Context Protocol, unmodified: its client, and its server behind a guard. */

const { UnauthorizedError } = await loadMcp('client/auth')
const { McpServer } = await loadMcp('server/mcp')
const { StreamableHTTPServerTransport } = await loadMcp('server/streamableHttp')

const scope = 'data:read'

type Guard = (verifier: Verifier, resource: string) => RequestHandler | Promise<RequestHandler>

const gatepassGuard: Guard = (verifier, resource) =>
  requireToken(verifier, { resource, scope }) as RequestHandler

/** The guard of the SDK, which asks the verifier about each token. */
const sdkGuard: Guard = async (verifier, resource) => {
  const { requireBearerAuth } = await loadMcp('server/auth/middleware/bearerAuth')
  const { InvalidTokenError } = await loadMcp('server/auth/errors')
  const { origin, pathname } = new URL(resource)
  return requireBearerAuth({
    requiredScopes: [scope],
    resourceMetadataUrl: `${origin}/.well-known/oauth-protected-resource${pathname}`,
    verifier: {
      async verifyAccessToken(token: string) {
        try {
          const claims = await verifier.verify(token)
          const { sub, exp, client_id: clientId } = claims
          return { token, clientId, scopes: claims.scope?.split(' ') ?? [], expiresAt: exp, sub }
        } catch (error) {
          throw isGatepassError(error) ? new InvalidTokenError(error.code) : error
        }
      },
    },
  })
}

/** An issuer, and an MCP server whose tool tells who calls it. */
async function start(t: Test, guard: Guard) {
  const app = express()
  const { url } = await startHttpServer(t, app)
  const resource = `${url}/mcp`
  const client: Client = {
    client_id: 'mcp',
    grants: ['authorization_code', 'refresh_token'],
    redirect_uris: [mcpRedirectUri],
    third_party: true,
    audience: [resource],
    scopes: { [scope]: [] },
  }
  // The guard of the SDK compares times with the clock of the machine. That of the issuer stands still:
  // on a loaded machine, the calls of one round may take longer than the grace period.
  const issuer = await startOAuth(t, { clients: [client], startMs: Date.now() })
  const { port, url: issuerAddress, fetch: fetchHere } = await issuer.listen()
  const jwksUri = `${issuerAddress}/.well-known/jwks.json`
  const { clock } = issuer
  const options = { issuer: issuerUrl, audience: resource, jwksUri, clock }
  const verifier = closedWith(t, createVerifier(options))
  app.use(resourceMetadata(verifier, { resource, scopes: [scope] }) as RequestHandler)
  app.post('/mcp', await guard(verifier, resource), express.json(), async (request, response) => {
    const server = new McpServer({ name: 'test', version: '1.0.0' })
    server.registerTool(
      'whoami',
      { description: 'Tells who calls' },
      (extra: { authInfo?: { sub: string } }) => ({
        content: [{ type: 'text', text: extra.authInfo?.sub }],
      }),
    )
    const transport = new StreamableHTTPServerTransport({ enableJsonResponse: true })
    response.on('close', () => void server.close())
    await server.connect(transport)
    await transport.handleRequest(request, response, request.body)
  })
  app.all('/mcp', (_request, response) => void response.status(405).end())

  const path = join(createTestFolder(t), 'tokens.json')
  const tokens = new FileTokens(path)
  /** From the address of the server alone to tokens: discovery, sign-in, code. */
  const signIn = async () => {
    const first = createMcpClient(resource, tokens, fetchHere)
    const refused = await first.connect().catch((error: unknown) => error)
    t.ok(refused instanceof UnauthorizedError)
    const asked = tokens.redirects.at(-1)
    if (asked === undefined) throw new Error('the user was not asked')
    t.equal(asked.searchParams.get('resource'), resource)
    const visitor = new Visitor(issuer)
    const consent = await visitor.signIn(await visitor.get(asked.pathname + asked.search))
    const { headers } = await visitor.submit(consent, { decision: 'allow' })
    const back = new URL(String(headers.location))
    await first.finishAuth(back.searchParams.get('code') ?? '')
    const saved = claimsOf(tokens.tokens()?.access_token ?? '')
    t.match(saved, { aud: resource, client_id: 'mcp', scope })
    return saved
  }
  return { issuer, resource, port, fetchHere, path, tokens, signIn }
}

for (const [name, guard] of Object.entries({ gatepassGuard, sdkGuard })) {
  t.test(`${name}: from the address of the server to a tool call, and a refresh`, async (t) => {
    const { issuer, resource, fetchHere, tokens, signIn } = await start(t, guard)
    const { sub, sid } = await signIn()
    const client = createMcpClient(resource, tokens, fetchHere)
    t.teardown(() => client.close())
    await client.connect()
    t.equal(await client.whoami(), sub)
    issuer.clock.advance_s(600)
    t.equal(await client.whoami(), sub, 'the SDK refreshes after the 401')
    t.equal(claimsOf(tokens.tokens()?.access_token ?? '').sid, sid)
    t.equal(tokens.redirects.length, 1, 'the user was asked once')
  })
}

interface Answer {
  readonly sub?: string
  readonly error?: string
  readonly lost: number
}

/** Waits for the next message of a process. */
async function nextMessage(child: ChildProcess): Promise<Answer> {
  const exited = once(child, 'exit').then(() => {
    throw new Error('the process ended')
  })
  const [answer] = await Promise.race([once(child, 'message'), exited])
  return answer
}

t.test('four processes share their tokens and lose answers: nobody is signed out', async (t) => {
  const { issuer, resource, port, path, tokens, signIn } = await start(t, gatepassGuard)
  const { sub, sid } = await signIn()
  const program = join(projectFolder, 'test/http/mcp-process.ts')
  const processes = Array.from({ length: 4 }, () => {
    const child = fork(program, [resource, issuerUrl, String(port), path], {
      execArgv: [],
      env: { ...compileCache, PATH: process.env.PATH, NODE_NO_WARNINGS: '1' },
    })
    t.teardown(() => child.kill())
    return child
  })
  await Promise.all(processes.map(nextMessage))
  const used = new Set<string>()
  let lost = 0
  for (let round = 1; round <= 4; round += 1) {
    // Each access token has expired, and so has the grace period of the last refresh.
    issuer.clock.advance_s(600)
    const answers = await Promise.all(
      processes.map(async (child) => {
        const answered = nextMessage(child)
        child.send('call')
        return answered
      }),
    )
    const subjects = answers.map((answer) => answer.sub ?? answer.error)
    t.equal(subjects.length, processes.length)
    t.same(new Set(subjects), new Set([sub]), `round ${round}`)
    lost = answers.reduce((sum, answer) => sum + answer.lost, 0)
    t.ok(lost >= round, `${lost} answers were lost`)
    used.add(tokens.tokens()?.refresh_token ?? '')
  }
  t.equal(used.size, 4, 'each round replaced the refresh token')
  t.equal(claimsOf(tokens.tokens()?.access_token ?? '').sid, sid)
  const events = issuer.audit().map(({ event }) => event)
  t.notOk(events.includes('refresh.reused'), 'no reuse was detected')
})
