import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { operations as allOperations } from './operations.ts'
import { SeenIds } from './seen-ids.ts'
import { isSecret, type Message, messageOf, secretOf, sign, tolerance_s } from './signature.ts'
import type { Users } from './users.ts'

export interface UserBaseOptions {
  readonly users: Users
  /** `whsec_…`; each is accepted. */
  readonly secrets: readonly string[]
  readonly operations?: typeof allOperations
  readonly nowMs?: () => number
  /** Called for each message, never with a body, which contains hashes. */
  readonly log?: (line: { type: string; status: number; id: string }) => void
  /** Maximum number of remembered message ids. */
  readonly seenMax?: number
}

const bodyBytesMax = 1024 * 1024

/** A response. Only responses with status 200 have a body. */
interface Answer {
  readonly status: number
  readonly type: string
  readonly body?: object
  /** The secret that signed the message. It also signs the response. */
  readonly secret?: string
}

/** A server that answers the messages of Gatepass about the users of a service. */
export function createUserBase(options: UserBaseOptions): Server {
  const { users, secrets, operations = allOperations, nowMs = Date.now, log } = options
  if (!secrets.every(isSecret)) {
    throw new Error('A secret must be whsec_ and at least 24 bytes in base64.')
  }
  // A timestamp that is ahead of our clock makes a message valid for twice the tolerance.
  const seen = new SeenIds(2 * tolerance_s * 1000, options.seenMax ?? 1_000_000)

  function answerTo(message: Message, signatures: string): Answer {
    const secret = secretOf(message, signatures, secrets, nowMs())
    if (secret === undefined) return { status: 401, type: '?' }
    const novelty = seen.add(message.id, nowMs())
    if (novelty !== 'new') return { status: novelty === 'seen' ? 409 : 503, type: '?' }
    const { type, data } = JSON.parse(message.body.toString()) as { type: string; data: never }
    const operation = Object.hasOwn(operations, type) ? operations[type] : undefined
    if (operation === undefined) return { status: 501, type }
    return { status: 200, type, body: operation(users, data), secret }
  }

  return createServer(async (request, response) => {
    let message = messageOf(request.headers, Buffer.alloc(0))
    let answer: Answer = { status: 500, type: '?' }
    try {
      const body = await readBody(request)
      message = { ...message, body: body ?? message.body }
      if (request.method !== 'POST') answer = { status: 405, type: '?' }
      else if (body === null) answer = { status: 413, type: '?' }
      else answer = answerTo(message, String(request.headers['webhook-signature'] ?? ''))
    } catch {
      // The error may quote the body, so it is not logged.
    }
    log?.({ type: answer.type, status: answer.status, id: message.id.slice(0, 64) })
    send(response, answer, message.id, nowMs())
  })
}

/** Reads the body. Returns null if it is too long. */
async function readBody(request: IncomingMessage): Promise<Buffer | null> {
  const chunks: Buffer[] = []
  let size = 0
  // The connection must stay open for the response, even if the body is not read to its end.
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    size += chunk.length
    if (size > bodyBytesMax) return null
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** Signs the response with the id of the message, so that it fits no other message. */
function send(response: ServerResponse, answer: Answer, id: string, nowMs: number): void {
  const { status, body, secret } = answer
  if (body === undefined || secret === undefined) {
    response.writeHead(status).end()
    return
  }
  const bytes = Buffer.from(JSON.stringify(body))
  const timestamp = String(Math.floor(nowMs / 1000))
  response
    .writeHead(status, {
      'content-type': 'application/json',
      'webhook-id': id,
      'webhook-timestamp': timestamp,
      'webhook-signature': sign({ id, timestamp, body: bytes }, secret),
    })
    .end(bytes)
}
