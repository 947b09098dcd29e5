import type { TokenResponse } from './access-token.ts'
import type { DpopProver } from './dpop.ts'
import type { Platform } from './platform.ts'
import type { AuthErrorCode } from './types.ts'

/**
 * Every rejection of the client. `code` is stable; `message` is for people and may change. Without
 * arguments: no response of the issuer has arrived.
 */
export class AuthClientError extends Error {
  override readonly name = 'AuthClientError'
  readonly code: AuthErrorCode
  /** The HTTP status; 0 without a response. */
  readonly status: number
  /** Seconds to wait before a retry. */
  readonly retryAfterSeconds: number | undefined

  constructor(
    code: AuthErrorCode = 'issuer_unreachable',
    status = 0,
    message: string = code,
    retryAfterSeconds?: number,
  ) {
    super(message)
    this.code = code
    this.status = status
    this.retryAfterSeconds = retryAfterSeconds
  }
}

/** The members of an RFC 9457 problem that the client reads. */
interface Problem {
  readonly code?: AuthErrorCode
  readonly title?: string
}

/**
 * Reads the body of a response; null without a body.
 * @throws `AuthClientError` for an error response, which may come from a proxy in front of the issuer
 * @internal
 */
export async function readBody(response: Response): Promise<unknown> {
  if (response.ok) return response.status === 204 ? null : response.json()
  const problem = (await response.json().catch(() => null)) as Problem | null
  const wait_s = Number(response.headers.get('retry-after') ?? undefined)
  throw new AuthClientError(
    problem?.code,
    response.status,
    problem?.title,
    wait_s >= 0 ? wait_s : undefined,
  )
}

/** Shorter than the default grace period, so that a retry falls into the grace period. */
const requestTimeoutMs = 8_000
const maxAttempts = 4
/** Half of the first pause between attempts. Each pause doubles, with a jitter of 50 %. */
const halfPauseMs = 150
/** A longer `Retry-After` fails immediately instead of waiting. */
const maxPauseMs = 10_000

/**
 * Matches the refusal of a proof if another proof can succeed, with the nonce and the clock of the
 * issuer. `[ir]` is `invalid` or `replayed`: a replay is a request that the browser itself has sent
 * again, on a new connection.
 */
const refusedProof = /dpop_(nonce|proof_[ir])/

/**
 * Calls the issuer, with its cookies.
 * @internal
 */
export class IssuerCalls {
  readonly #issuer: string
  readonly #platform: Platform
  readonly #prover: DpopProver | null
  /** How far the issuer's clock is ahead of this machine's, for the dates of DPoP proofs. 0 at first. */
  #clockOffsetMs = 0

  constructor(issuer: string, platform: Platform, prover: DpopProver | null) {
    this.#issuer = issuer
    this.#platform = platform
    this.#prover = prover
  }

  /**
   * Sends a request with the access token, and a proof if the token needs one. If the proof is
   * refused, sends the request again, with the nonce (RFC 9449 §8) and the clock of the issuer from
   * the response, and with the stored key. At most twice: the request with the nonce may be replayed.
   */
  async send(request: Request, token?: TokenResponse, repeats = 0): Promise<Response> {
    const { headers } = request
    const prover = token?.token_type === 'Bearer' ? null : this.#prover
    const copy = prover && request.clone()
    if (token) headers.set('authorization', `${token.token_type} ${token.access_token}`)
    if (prover) {
      const nowMs = this.#platform.wallMs() + this.#clockOffsetMs
      headers.set('dpop', await prover.prove(request, nowMs, token?.access_token))
    }
    const response = await this.#platform.fetch(request)
    const dateMs = Date.parse(response.headers.get('date') as string)
    // A later response without an error may be an old one, from the cache of the browser.
    if (dateMs && !(response.ok && this.#clockOffsetMs)) {
      this.#clockOffsetMs = dateMs - this.#platform.wallMs()
    }
    if (!copy) return response
    prover.nonce = response.headers.get('dpop-nonce') ?? prover.nonce
    // RFC 9449 §7.1, §8. The body of another response may be endless.
    if (repeats > 1 || response.status > 401 || response.ok) return response
    if (!refusedProof.test(await response.clone().text())) return response
    prover.keyPair = null
    return this.send(copy, token, repeats + 1)
  }

  /** Posts to the issuer. @returns the body; null without a body */
  async post(path: string, init: RequestInit, token?: TokenResponse): Promise<unknown> {
    const request = new Request(this.#issuer + path, {
      method: 'POST',
      credentials: 'include',
      ...init,
      signal: AbortSignal.timeout(requestTimeoutMs),
    })
    await this.#prover?.keys()
    try {
      return await readBody(await this.send(request, token))
    } catch (error) {
      if (error instanceof AuthClientError) throw error
      // Only an allowed origin may read a response to a request with cookies. The response to a
      // login without cookies is readable from any origin, so it distinguishes a refused origin
      // from an outage.
      if (error instanceof TypeError && !this.#clockOffsetMs && !init.credentials) {
        await this.post('/login', { credentials: 'omit' }).catch((refusal) => {
          if (refusal.code === 'origin_not_allowed') throw refusal
        })
      }
      throw new AuthClientError()
    }
  }

  /**
   * Repeats a call after temporary errors.
   * @param isObsolete returns whether nobody needs the result; the call then returns undefined
   */
  async retry<T>(
    call: () => Promise<T>,
    isObsolete: () => boolean,
    pause: (ms: number) => Promise<unknown>,
  ): Promise<T | undefined> {
    for (let attempt = 1; !isObsolete(); attempt++) {
      try {
        return await call()
      } catch (error) {
        const { status, retryAfterSeconds = 0 } = error as Partial<AuthClientError>
        const isTemporary = status === 0 || status === 429 || (status as number) >= 500
        const backoffMs = halfPauseMs * 2 ** attempt * (0.5 + this.#platform.random())
        const pauseMs = Math.max(retryAfterSeconds * 1000, backoffMs)
        if (!isTemporary || attempt === maxAttempts || pauseMs > maxPauseMs) throw error
        await pause(pauseMs)
      }
    }
    return undefined
  }
}
