import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { buffer } from 'node:stream/consumers'
import type { Test } from 'tap'
import { sign } from '../../../examples/user-base/signature.ts'
import { createUserBase, type UserBaseOptions } from '../../../examples/user-base/user-base.ts'
import { Users } from '../../../examples/user-base/users.ts'
import { WebhookAccountStore } from '../../../src/stores/webhook/account-store.ts'
import type { WebhookOptions } from '../../../src/stores/webhook/client.ts'
import { closedWith } from '../../support/closed-with.ts'
import { startHttpServer } from '../../support/http-server.ts'

export const secret = `whsec_${Buffer.alloc(32, 'a').toString('base64')}`
export const otherSecret = `whsec_${Buffer.alloc(32, 'b').toString('base64')}`

/** Serves until the test ends and returns the address of the user base. */
async function listen(t: Test, server: Server, port?: number): Promise<string> {
  return `${(await startHttpServer(t, server, port)).url}/gatepass`
}

/** The sample server without users. @param port by default a free one */
export async function startUserBase(
  t: Test,
  options: Partial<UserBaseOptions> = {},
  port?: number,
) {
  const users = new Users()
  const lines: { type: string; status: number }[] = []
  const server = createUserBase({
    users,
    secrets: [secret],
    log: (line) => lines.push(line),
    ...options,
  })
  return { url: await listen(t, server, port), users, server, lines }
}

export type Handler = (
  request: IncomingMessage & { readonly body: string },
  response: ServerResponse,
) => void

/** A user base that responds as a test says, and records its messages. */
export class TestUserBase {
  url = ''
  answer: Handler
  readonly requests: { readonly id: string; readonly body: string }[] = []
  readonly server: Server

  private constructor(answer: Handler) {
    this.answer = answer
    this.server = createServer(async (request, response) => {
      const body = (await buffer(request)).toString()
      this.requests.push({ id: String(request.headers['webhook-id']), body })
      this.answer(Object.assign(request, { body }), response)
    })
  }

  static async start(t: Test, answer: Handler): Promise<TestUserBase> {
    const userBase = new TestUserBase(answer)
    userBase.url = await listen(t, userBase.server)
    return userBase
  }
}

export interface AnswerChanges {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly secret?: string
  /** The id of the message that the response belongs to. */
  readonly id?: string
}

/** Returns a correct response, with changes. */
export function signed(value: unknown, changes: AnswerChanges = {}): Handler {
  return (request, response) => {
    const body = Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))
    const id = changes.id ?? String(request.headers['webhook-id'])
    const timestamp = String(Math.floor(Date.now() / 1000))
    response
      .writeHead(changes.status ?? 200, {
        'content-type': 'application/json',
        'webhook-timestamp': timestamp,
        'webhook-signature': sign({ id, timestamp, body }, changes.secret ?? secret),
        ...changes.headers,
      })
      .end(body)
  }
}

/** Opens a store that is closed when the test ends. */
export function openStore(t: Test, url: string, options: Partial<WebhookOptions> = {}) {
  const settings = { url, secrets: [secret], timeoutMs: 60_000, ...options }
  return closedWith(t, new WebhookAccountStore(settings))
}
