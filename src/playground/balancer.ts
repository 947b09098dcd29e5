import { Agent, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { GatepassError } from '../core/errors.ts'
import type { Replica, ReplicaKind, Replicas } from './api.ts'

const answerMsMax = 5_000
const bodyBytesMax = 256 * 1024

/** What goes along. Cookies do not: the refresh token is none of a replica's business. */
const requestHeaders = [
  ...['authorization', 'content-type', 'dpop', 'idempotency-key', 'if-match', 'if-none-match'],
]
const answerHeaders = ['content-type', 'etag', 'retry-after', 'www-authenticate']

/** What may be sent to another replica though the first one may have got it. */
function isRepeatable({ method, headers }: Outgoing): boolean {
  return ['GET', 'HEAD'].includes(method) || headers['idempotency-key'] !== undefined
}

export interface Outgoing {
  readonly method: string
  /** With its query. */
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer | undefined
}

export interface Answer {
  readonly replica: string
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}

/**
 * What a site has in front of its replicas, as small as it can be: each request goes to any of them, and
 * where that one is gone the next one is asked. It knows nothing of tokens and remembers nobody.
 */
export class Balancer {
  readonly #replicas: Pick<Replicas, 'list'>
  readonly #agent = new Agent({ keepAlive: true })

  constructor(replicas: Pick<Replicas, 'list'>) {
    this.#replicas = replicas
  }

  /** @throws `replica_unavailable` */
  async forward(kind: ReplicaKind, outgoing: Outgoing): Promise<Answer> {
    for (const replica of this.#anyOrder(kind)) {
      try {
        return await this.#send(replica, outgoing)
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException
        const neverSent = code === 'ECONNREFUSED'
        if (!neverSent && !isRepeatable(outgoing)) break
      }
    }
    throw new GatepassError('replica_unavailable', { retryAfterSeconds: 1 })
  }

  close(): void {
    this.#agent.destroy()
  }

  #anyOrder(kind: ReplicaKind): readonly (Replica & { readonly port: number })[] {
    const ready = this.#replicas
      .list()
      .flatMap((one) =>
        one.kind === kind && one.port !== null ? [{ ...one, port: one.port }] : [],
      )
    // In turn, two tabs that ask in step would each meet one replica only.
    const first = Math.floor(Math.random() * ready.length)
    return [...ready.slice(first), ...ready.slice(0, first)]
  }

  async #send(
    { name, port }: { readonly name: string; readonly port: number },
    outgoing: Outgoing,
  ): Promise<Answer> {
    const { method, path, headers, body } = outgoing
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const sent = request({
        host: '127.0.0.1',
        port,
        method,
        path,
        // A kept connection may have died unnoticed. Where that could not be repeated, a new one tells.
        agent: isRepeatable(outgoing) && this.#agent,
        headers: {
          ...chosen(headers, requestHeaders),
          ...(body !== undefined && { 'content-length': String(body.length) }),
        },
        signal: AbortSignal.timeout(answerMsMax),
      })
      sent.on('response', resolve).on('error', reject).end(body)
    })
    let received = 0
    answer.on('data', (chunk: Buffer) => {
      received += chunk.length
      if (received > bodyBytesMax) answer.destroy(new Error('the answer is too large'))
    })
    return {
      replica: name,
      status: answer.statusCode ?? 502,
      headers: chosen(answer.headers, answerHeaders),
      body: await buffer(answer),
    }
  }
}

function chosen(headers: IncomingHttpHeaders, names: readonly string[]): Record<string, string> {
  const pairs = names.flatMap((name): [string, string][] => {
    const value = headers[name]
    return value === undefined ? [] : [[name, String(value)]]
  })
  return Object.fromEntries(pairs)
}
