import type { TokenAnswer } from './access-token.ts'
import type { Prover } from './dpop.ts'
import type { Platform } from './platform.ts'
import type { AuthErrorCode } from './types.ts'

/** `code` is stable; `message` is for people and may change. */
export class AuthClientError extends Error {
  readonly code: AuthErrorCode
  /** The HTTP status; 0 when there was no answer. */
  readonly status: number
  /** After how many seconds it is worth trying again. */
  readonly retryAfterSeconds: number | undefined

  constructor(
    code: AuthErrorCode,
    status: number,
    message: string = code,
    retryAfterSeconds?: number,
  ) {
    super(message)
    this.name = 'AuthClientError'
    this.code = code
    this.status = status
    this.retryAfterSeconds = retryAfterSeconds
  }
}

export function unreachable(): AuthClientError {
  return new AuthClientError('issuer_unreachable', 0)
}

/** What is read of RFC 9457. */
interface Problem {
  readonly code?: AuthErrorCode
  readonly title?: string
}

/**
 * What an answer holds; null where it has no body.
 * @throws the error that it is; whatever stands before the issuer may have answered too
 */
export async function contentOf(response: Response): Promise<unknown> {
  if (response.ok) return response.status === 204 ? null : response.json()
  const problem = (await response.json().catch(() => null)) as Problem | null
  const wait_s = Number(response.headers.get('retry-after') ?? undefined)
  throw new AuthClientError(
    problem?.code ?? 'issuer_unreachable',
    response.status,
    problem?.title,
    wait_s >= 0 ? wait_s : undefined,
  )
}

/** The longest that a request may take: less than the grace period, so that a retry is still within it. */
const answerMsMax = 8_000
const triesMax = 4
/** The first pause; each is twice as long as the one before, give or take a half. */
const pauseMsMin = 300
/** Who is told to come back later than this is told of it at once. */
const pauseMsMax = 10_000

/** Requests to the issuer itself, with the cookies that it has set. */
export class IssuerCalls {
  readonly #issuer: string
  readonly #platform: Platform
  readonly #prover: Prover | null
  /** How far the issuer's clock is ahead of ours: proofs are dated by it. 0 until its first answer. */
  #aheadMs = 0

  constructor(issuer: string, platform: Platform, prover: Prover | null) {
    this.#issuer = issuer
    this.#platform = platform
    this.#prover = prover
  }

  /** Adds the access token to a request, and the proof that it needs. */
  async authorize(request: Request, token?: TokenAnswer): Promise<Request> {
    const { headers, method, url } = request
    if (token) headers.set('authorization', `${token.token_type} ${token.access_token}`)
    if (this.#prover && (!token || token.token_type === 'DPoP')) {
      const nowMs = this.#platform.wallMs() + this.#aheadMs
      const proven = { method, url, token: token?.access_token, nowMs }
      headers.set('dpop', await this.#prover.prove(proven))
    }
    return request
  }

  /** @returns what the answer holds; null where it has no body */
  async post(path: string, init: RequestInit, token?: TokenAnswer): Promise<unknown> {
    const wasAheadMs = this.#aheadMs
    const request = new Request(this.#issuer + path, {
      method: 'POST',
      credentials: 'include',
      ...init,
      signal: AbortSignal.timeout(answerMsMax),
    })
    await this.authorize(request, token)
    try {
      const response = await this.#platform.fetch(request)
      this.#learnTime(response)
      return await contentOf(response)
    } catch (error) {
      if (!(error instanceof AuthClientError)) {
        // Only an allowed origin reads an answer to a request with cookies. Any origin reads the refusal
        // of a login without them, so it says whether that is why the first answer was kept from us.
        if (error instanceof TypeError && !this.#aheadMs && !init.credentials) {
          await this.post('/login', { credentials: 'omit' }).catch((refusal) => {
            if (refusal.code === 'origin_not_allowed') throw refusal
          })
        }
        throw unreachable()
      }
      // A clock that is minutes off: now it is known by how much.
      const isOff = Math.abs(this.#aheadMs - wasAheadMs) > 2_000
      if (isOff && error.code === 'dpop_proof_invalid') return this.post(path, init, token)
      throw error
    }
  }

  /**
   * Makes a call again while it may still succeed.
   * @param isMoot whether nobody cares any more; then it ends with undefined
   */
  async persist<T>(
    call: () => Promise<T>,
    isMoot: () => boolean,
    pause: (ms: number) => Promise<unknown>,
  ): Promise<T | undefined> {
    for (let tries = 1; !isMoot(); tries++) {
      try {
        return await call()
      } catch (error) {
        const { status, retryAfterSeconds = 0 } = error as Partial<AuthClientError>
        const mayPass = status === 0 || status === 429 || (status ?? 0) >= 500
        const backoffMs = pauseMsMin * 2 ** (tries - 1) * (0.5 + this.#platform.random())
        const pauseMs = Math.max(retryAfterSeconds * 1000, backoffMs)
        if (!mayPass || tries === triesMax || pauseMs > pauseMsMax) throw error
        await pause(pauseMs)
      }
    }
    return undefined
  }

  #learnTime(response: Response): void {
    const dateMs = Date.parse(response.headers.get('date') ?? '')
    if (dateMs) this.#aheadMs = dateMs - this.#platform.wallMs()
  }
}
