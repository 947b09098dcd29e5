import { Agent, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { GatepassError } from '../core/errors.ts'
import type { Replica, ReplicaKind, Replicas } from './api.ts'

const responseTimeoutMs = 5_000
const maxBodyBytes = 256 * 1024

/** Headers that are forwarded. Cookies are not: a replica must not see the refresh token. */
const requestHeaders = [
  'authorization',
  'content-type',
  'dpop',
  'idempotency-key',
  'if-match',
  'if-none-match',
]
const responseHeaders = ['content-type', 'etag', 'retry-after', 'www-authenticate']

/** Whether a request may go to a second replica although the first one may have handled it. */
function isRepeatable({ method, headers }: BalancedRequest): boolean {
  return ['GET', 'HEAD'].includes(method) || headers['idempotency-key'] !== undefined
}

export interface BalancedRequest {
  readonly method: string
  /** Path and query. */
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer | undefined
}

export interface BalancedResponse {
  readonly replica: string
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}

/**
 * A minimal load balancer: sends each request to a random replica, and to the next one if a replica is
 * unavailable. It keeps no state and does not read tokens.
 */
export class Balancer {
  readonly #replicas: Pick<Replicas, 'list'>
  readonly #agent = new Agent({ keepAlive: true })

  constructor(replicas: Pick<Replicas, 'list'>) {
    this.#replicas = replicas
  }

  /** @throws `replica_unavailable` */
  async forward(kind: ReplicaKind, outgoing: BalancedRequest): Promise<BalancedResponse> {
    for (const replica of this.#readyReplicas(kind)) {
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

  /** The replicas of a kind that are ready, in their order, from a random one on. */
  #readyReplicas(kind: ReplicaKind): readonly (Replica & { readonly port: number })[] {
    const ready = this.#replicas
      .list()
      .flatMap((one) =>
        one.kind === kind && one.port !== null ? [{ ...one, port: one.port }] : [],
      )
    // Round robin would tie two tabs that send alternately to one replica each.
    const first = Math.floor(Math.random() * ready.length)
    return [...ready.slice(first), ...ready.slice(0, first)]
  }

  async #send(
    { name, port }: { readonly name: string; readonly port: number },
    outgoing: BalancedRequest,
  ): Promise<BalancedResponse> {
    const { method, path, headers, body } = outgoing
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const sent = request({
        host: '127.0.0.1',
        port,
        method,
        path,
        // A connection from the pool may be dead, so a request that cannot be repeated uses a new
        // connection.
        agent: isRepeatable(outgoing) && this.#agent,
        headers: {
          ...pickHeaders(headers, requestHeaders),
          ...(body !== undefined && { 'content-length': String(body.length) }),
        },
        signal: AbortSignal.timeout(responseTimeoutMs),
      })
      sent.on('response', resolve).on('error', reject).end(body)
    })
    let received = 0
    response.on('data', (chunk: Buffer) => {
      received += chunk.length
      if (received > maxBodyBytes) response.destroy(new Error('the response is too large'))
    })
    return {
      replica: name,
      status: response.statusCode ?? 502,
      headers: pickHeaders(response.headers, responseHeaders),
      body: await buffer(response),
    }
  }
}

function pickHeaders(
  headers: IncomingHttpHeaders,
  names: readonly string[],
): Record<string, string> {
  const pairs = names.flatMap((name): [string, string][] => {
    const value = headers[name]
    return value === undefined ? [] : [[name, String(value)]]
  })
  return Object.fromEntries(pairs)
}
