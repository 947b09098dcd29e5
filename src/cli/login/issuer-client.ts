import { hostname } from 'node:os'
import { z } from 'zod'
import { type ErrorCode, errorCodes, GatepassError } from '../../core/errors.ts'
import { packageVersion } from '../context.ts'
import { oneLine } from '../output.ts'

/** A login may wait in a queue for its hash. */
const deadlineMs = 30_000
const bodyBytesMax = 64 * 1024

const tokens = z.object({
  access_token: z.string().min(1),
  expires_in: z.number().positive(),
  scope: z.string(),
  session_id: z.string(),
  refresh_token: z.string().min(1),
})

export type Tokens = z.infer<typeof tokens>

const problem = z.object({ code: z.string(), detail: z.string().optional() })

export interface LoginParts {
  readonly username: string
  readonly password: string
  readonly client?: string | undefined
  readonly scope?: string | undefined
}

/** What a program at a terminal asks of an issuer. */
export class IssuerClient {
  readonly #issuer: string

  constructor(issuer: string) {
    this.#issuer = issuer
  }

  /** @throws what the issuer answers, or `issuer_unavailable` */
  async login({ username, password, client, scope }: LoginParts): Promise<Tokens> {
    return this.#tokens('/login', {
      username,
      password,
      refresh_token_in: 'body',
      ...(client !== undefined && { client_id: client }),
      ...(scope !== undefined && { scope }),
    })
  }

  /** @param idempotencyKey the same for each attempt until there is an answer */
  async refresh(refresh_token: string, idempotencyKey: string): Promise<Tokens> {
    return this.#tokens('/refresh', { refresh_token }, { 'idempotency-key': idempotencyKey })
  }

  async logout(refresh_token: string): Promise<void> {
    await this.#post('/logout', { refresh_token }, {})
  }

  async #tokens(path: string, body: object, headers: Record<string, string> = {}): Promise<Tokens> {
    const answer = tokens.safeParse(await this.#post(path, body, headers))
    if (answer.success) return answer.data
    throw unavailable(`${this.#issuer} does not answer as an issuer does.`)
  }

  async #post(path: string, body: object, headers: Record<string, string>): Promise<unknown> {
    let status: number
    let retryAfter: string | null
    let json: unknown
    try {
      // A redirect is not followed: it would take the password along.
      const response = await fetch(`${this.#issuer}${path}`, {
        method: 'POST',
        redirect: 'manual',
        headers: { 'content-type': 'application/json', 'user-agent': userAgent(), ...headers },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(deadlineMs),
      })
      status = response.status
      retryAfter = response.headers.get('retry-after')
      json = asJson(await readCapped(response))
    } catch (cause) {
      throw unavailable(`${this.#issuer} can't be reached.`, cause)
    }
    if (status >= 200 && status < 300) return json
    throw this.#refusal(status, json, retryAfter)
  }

  #refusal(status: number, json: unknown, retryAfter: string | null): GatepassError {
    const { data } = problem.safeParse(json)
    if (data === undefined || !isErrorCode(data.code)) {
      return unavailable(`${this.#issuer} answered with status ${status}.`)
    }
    const title = data.detail === undefined ? errorCodes[data.code].title : oneLine(data.detail)
    const wait = /^[0-9]{1,6}$/.test(retryAfter ?? '') ? ` Try again in ${retryAfter} s.` : ''
    return new GatepassError(data.code, { detail: `${title}${wait}` })
  }
}

/** What the list of a user's devices shows. */
function userAgent(): string {
  const host = hostname().replaceAll(/[^\w.-]/g, '')
  return `gatepass/${packageVersion()} (${process.platform}; ${host.slice(0, 64)})`
}

async function readCapped(response: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of response.body ?? []) {
    size += chunk.length
    if (size > bodyBytesMax) throw new Error('the answer is too long')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** What is no JSON is no answer of an issuer, and said to be none by who looks for its members. */
function asJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(errorCodes, code)
}

function unavailable(detail: string, cause?: unknown): GatepassError {
  return new GatepassError('issuer_unavailable', { detail, cause })
}
