import type { Session } from '../../src/stores/ports.ts'
import { decideRotation, revoke } from '../../src/stores/rotation.ts'
import { policy, session } from '../support/sessions.ts'

export interface FakeRequest {
  readonly method: string
  readonly path: string
  readonly cookie: string | null
  readonly token: string | null
  readonly idempotencyKey: string | null
  readonly body: string
}

export interface FakeAnswer {
  readonly status: number
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  /** The new cookie; undefined does not change it. */
  readonly cookie?: string | null
}

/** An issuer in memory with the real rule of rotation. Its tokens are only names. */
export class FakeIssuer {
  /** The calls and their outcomes, such as `refresh rotated`. */
  readonly log: string[] = []
  readonly keys: (string | null)[] = []
  accessTtl_s = 300
  /** Responses to the next requests, instead of the usual ones. */
  readonly instead: FakeAnswer[] = []
  readonly #sessions = new Map<string, Session>()
  readonly #tokens = new Map<string, { sid: string; untilMs: number }>()
  readonly #nowMs: () => number
  readonly #graceMs: number

  constructor(nowMs: () => number, graceMs: number = policy.graceMs) {
    this.#nowMs = nowMs
    this.#graceMs = graceMs
  }

  answer(request: FakeRequest): FakeAnswer {
    const instead = this.instead.shift()
    if (instead) return instead
    switch (`${request.method} ${request.path}`) {
      case 'POST /login':
        return this.#login(request)
      case 'POST /refresh':
        return this.#refresh(request)
      case 'POST /logout':
        return this.#logout(request)
      case 'POST /logout/all':
        return this.#guarded(request, () => {
          for (const sid of this.#sessions.keys()) this.end(sid)
        })
      default:
        return this.#guarded(request, (sid) => ({ sub: sid, path: request.path }))
    }
  }

  get liveSessions(): string[] {
    return [...this.#sessions.values()].filter((s) => s.revokedAtMs === null).map((s) => s.sid)
  }

  /** Ends a session, like another device. */
  end(sid: string): void {
    const found = this.#sessions.get(sid)
    if (found) this.#sessions.set(sid, revoke(found, this.#nowMs(), policy.revokedKeptMs))
  }

  #login({ body }: FakeRequest): FakeAnswer {
    if (body === '') return problem(422, 'request_invalid')
    const { username, password } = JSON.parse(body)
    if (password !== 'right') return problem(401, 'credentials_invalid')
    const sid = `${username}-${this.#sessions.size}`
    const nowMs = this.#nowMs()
    const lives = { createdAtMs: nowMs, mintedAtMs: nowMs }
    const ends = { endsAtMs: nowMs + 1e12, expiresAtMs: nowMs + 1e12 }
    this.#sessions.set(sid, session({ sid, ...lives, ...ends }))
    this.log.push(`login ${sid}`)
    return this.#tokensOf(sid, 0)
  }

  #refresh({ cookie, idempotencyKey }: FakeRequest): FakeAnswer {
    this.keys.push(idempotencyKey)
    const [sid = '', generation] = cookie?.split('.') ?? []
    const found = this.#sessions.get(sid)
    if (cookie === null) this.log.push('refresh missing')
    if (cookie === null || !found) return problem(401, 'refresh_token_missing', { cookie: null })
    const decision = decideRotation(found, {
      sid,
      generation: Number(generation),
      idempotencyKey: idempotencyKey === null ? null : Buffer.from(idempotencyKey),
      jkt: null,
      nowMs: this.#nowMs(),
      policy: { ...policy, idleMs: 1e12, graceMs: this.#graceMs },
    })
    this.#sessions.set(sid, decision.session)
    this.log.push(`refresh ${decision.outcome}`)
    if (decision.outcome === 'rotated' || decision.outcome === 'replayed') {
      return this.#tokensOf(sid, decision.session.generation)
    }
    return problem(401, `refresh_token_${decision.outcome}`, { cookie: null })
  }

  #logout({ cookie }: FakeRequest): FakeAnswer {
    this.log.push('logout')
    if (cookie === null) return problem(401, 'refresh_token_missing')
    this.end(cookie.split('.')[0] ?? '')
    return { status: 204, cookie: null }
  }

  #guarded({ token }: FakeRequest, work: (sid: string) => unknown): FakeAnswer {
    const found = token === null ? undefined : this.#tokens.get(token)
    const isLive = found && this.#sessions.get(found.sid)?.revokedAtMs === null
    if (!found || !isLive || found.untilMs <= this.#nowMs()) return problem(401, 'token_expired')
    const body = work(found.sid)
    return body === undefined ? { status: 204 } : { status: 200, body }
  }

  #tokensOf(sid: string, generation: number): FakeAnswer {
    const access_token = `token-${this.#tokens.size}`
    this.#tokens.set(access_token, { sid, untilMs: this.#nowMs() + this.accessTtl_s * 1000 })
    const body = { access_token, token_type: 'Bearer', expires_in: this.accessTtl_s }
    const answer = { ...body, scope: 'data:read', session_id: sid }
    return { status: 200, body: answer, cookie: `${sid}.${generation}` }
  }
}

export function problem(
  status: number,
  code: string,
  more: Pick<FakeAnswer, 'cookie' | 'headers'> = {},
): FakeAnswer {
  return { status, body: { code, title: code }, ...more }
}
