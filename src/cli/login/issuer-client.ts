import { hostname } from 'node:os'
import * as z from 'zod'
import { messagesOf } from '../../core/error-text.ts'
import { type ErrorCode, errorCodes, GatepassError } from '../../core/errors.ts'
import { parseJson } from '../../core/json.ts'
import { formatForm } from '../../oauth/form.ts'
import { readBody, readSeconds } from '../../verifier/http-client.ts'
import { packageVersion } from '../context.ts'
import { oneLine } from '../terminal.ts'

/** A login may wait in the issuer's queue for password hashes. */
const maxTimeoutMs = 30_000
const maxBodyBytes = 64 * 1024

/** The characters of RFC 6750 §2.1: the terminal would act on a control character in a printed token. */
const bearerToken = z.string().regex(/^[\w.~+/-]+=*$/)

const tokens = z.object({
  access_token: bearerToken,
  expires_in: z.number().positive(),
  scope: z.string(),
  session_id: z.string(),
  refresh_token: z.string().min(1),
})

export type Tokens = z.infer<typeof tokens>

const user = z.object({ username: z.string() })
const pushed = z.object({ request_uri: z.string().min(1) })
const problem = z.object({
  code: z.string(),
  detail: z.string().optional(),
  errors: z.array(z.object({ pointer: z.string(), detail: z.string() })).optional(),
})
/** RFC 6749 §5.2. */
const oauthError = z.object({ error: z.string(), error_description: z.string().optional() })

type Fields = Readonly<Record<string, string | undefined>>

export interface LoginRequest {
  readonly username: string
  readonly password: string
  readonly client?: string | undefined
  readonly scope?: string | undefined
}

/** Calls an issuer for a command at a terminal. */
export class IssuerClient {
  readonly issuer: string

  constructor(issuer: string) {
    this.issuer = issuer
  }

  /** @throws the error of the issuer, or `issuer_unavailable` */
  login({ username, password, client, scope }: LoginRequest): Promise<Tokens> {
    const request = { username, password, refresh_token_in: 'body', client_id: client, scope }
    return this.#call('/login', tokens, json(request))
  }

  /** @param idempotencyKey one key for all attempts until an answer arrives */
  refresh(refresh_token: string, idempotencyKey: string, timeoutMs?: number): Promise<Tokens> {
    const request = json({ refresh_token }, { 'idempotency-key': idempotencyKey })
    return this.#call('/refresh', tokens, request, timeoutMs)
  }

  async logout(refresh_token: string): Promise<void> {
    await this.#call('/logout', z.unknown(), json({ refresh_token }))
  }

  /** Pushes an authorization request (RFC 9126). @returns its `request_uri` */
  async pushAuthorization(request: Fields): Promise<string> {
    return (await this.#call('/oauth/par', pushed, form(request))).request_uri
  }

  /** The address at which a browser continues a pushed request (RFC 9126 §4). */
  authorizationUrl(client_id: string, request_uri: string): string {
    return `${this.issuer}/oauth/authorize?${new URLSearchParams({ client_id, request_uri })}`
  }

  /** Exchanges a code for tokens (RFC 6749 §4.1.3). */
  redeemCode(request: Fields): Promise<Tokens> {
    return this.#call(
      '/oauth/token',
      tokens,
      form({ grant_type: 'authorization_code', ...request }),
    )
  }

  /** Returns the name of the user of an access token. */
  async username(accessToken: string): Promise<string> {
    const headers = { authorization: `Bearer ${accessToken}` }
    return (await this.#call('/me', user, { headers })).username
  }

  async #call<T>(
    path: string,
    schema: z.ZodType<T>,
    request: IssuerRequest,
    timeoutMs = maxTimeoutMs,
  ): Promise<T> {
    let response: Response
    let text: string
    const signal = AbortSignal.timeout(timeoutMs)
    try {
      response = await fetch(`${this.issuer}${path}`, {
        ...request,
        headers: { 'user-agent': userAgent(), ...request.headers },
        // A redirect would send the password to another address.
        redirect: 'manual',
        signal,
      })
      text = (await readBody(response, maxBodyBytes, signal)).toString()
    } catch (cause) {
      const reason = oneLine(messagesOf(cause as Error))
      throw unavailable(`The issuer ${this.issuer} is not reachable (${reason}).`, cause)
    }
    const answer = parseJson(text)
    if (!response.ok) throw this.#errorOf(response, answer)
    const parsed = schema.safeParse(answer)
    if (parsed.success) return parsed.data
    throw unavailable(`${this.issuer} did not answer like an issuer. Check the URL.`)
  }

  #errorOf({ status, headers }: Response, json: unknown): GatepassError {
    const refusal = oauthError.safeParse(json).data
    if (refusal !== undefined) {
      return authorizationFailed(refusal.error_description ?? refusal.error)
    }
    const { data } = problem.safeParse(json)
    if (data === undefined || !isErrorCode(data.code)) {
      return unavailable(`${this.issuer} answered with status ${status}.`)
    }
    const title = data.detail === undefined ? errorCodes[data.code].title : oneLine(data.detail)
    const retryAfter_s = readSeconds(headers.get('retry-after'))
    const wait = retryAfter_s === null ? '' : ` Try again in ${retryAfter_s} s.`
    const problems = data.errors?.map(({ pointer, detail }) => ({
      pointer: oneLine(pointer),
      detail: oneLine(detail),
    }))
    return new GatepassError(data.code, {
      detail: `${title}${wait}`,
      ...(problems && { problems }),
    })
  }
}

interface IssuerRequest {
  readonly method?: 'POST'
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
}

function json(body: object, headers: IssuerRequest['headers'] = {}): IssuerRequest {
  const type = { 'content-type': 'application/json' }
  return { method: 'POST', headers: { ...type, ...headers }, body: JSON.stringify(body) }
}

function form(fields: Fields): IssuerRequest {
  const headers = { 'content-type': 'application/x-www-form-urlencoded' }
  return { method: 'POST', headers, body: formatForm(fields) }
}

/** The name of this device in the user's list of devices. */
function userAgent(): string {
  const host = hostname().replaceAll(/[^\w.-]/g, '')
  return `gatepass/${packageVersion()} (${process.platform}; ${host.slice(0, 64)})`
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(errorCodes, code)
}

/** @param reason the description by the issuer, or ours */
export function authorizationFailed(reason: string): GatepassError {
  return new GatepassError('authorization_failed', { detail: oneLine(reason) })
}

function unavailable(detail: string, cause?: unknown): GatepassError {
  return new GatepassError('issuer_unavailable', { detail, cause })
}
