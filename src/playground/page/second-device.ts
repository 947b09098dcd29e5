import { pause } from './dom.ts'
import { issuer, jsonOf } from './server.ts'

const refusedMsMax = 10_000
/** So many refusals in a row: any replica may answer, so each of them very likely has. */
const refusalsWanted = 20

interface Answer {
  readonly access_token: string
  readonly refresh_token: string
  readonly session_id: string
}

/** Cookies of this page stay out of it: it is another device. */
async function post(path: string, body: object, headers: Record<string, string> = {}) {
  return fetch(`${issuer}${path}`, {
    method: 'POST',
    credentials: 'omit',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  })
}

/** A session of its own, with its refresh token in hand: what an app on a phone has. */
export class SecondDevice {
  readonly sessionId: string
  #accessToken: string
  /** Every refresh token that it was given, the newest last. */
  readonly #refreshTokens: string[]

  private constructor(answer: Answer) {
    this.sessionId = answer.session_id
    this.#accessToken = answer.access_token
    this.#refreshTokens = [answer.refresh_token]
  }

  static async signIn(password: string, username: string): Promise<SecondDevice> {
    const body = { username, password, refresh_token_in: 'body' }
    return new SecondDevice(await jsonOf<Answer>(await post('/login', body)))
  }

  get generation(): number {
    return generationOf(this.#refreshTokens.at(-1) ?? '')
  }

  /** Refreshes as it should, with the newest token. */
  async refresh(): Promise<void> {
    const answer = await this.#present(this.#refreshTokens.at(-1) ?? '')
    this.#accessToken = answer.access_token
    this.#refreshTokens.push(answer.refresh_token)
  }

  /** Presents the first token that it had, as a thief would who has an old copy. */
  async replayFirst(): Promise<void> {
    await this.#present(this.#refreshTokens[0] ?? '')
  }

  /** Signs another device of the user out. */
  async end(sessionId: string): Promise<void> {
    const response = await fetch(`${issuer}/sessions/${encodeURIComponent(sessionId)}`, {
      method: 'DELETE',
      credentials: 'omit',
      headers: this.#bearer(),
    })
    await jsonOf<void>(response)
  }

  async logout(): Promise<void> {
    await jsonOf<void>(await post('/logout', {}, this.#bearer()))
  }

  /** How long replicas still took its access token, in milliseconds; null where they still do. */
  async untilRefused(): Promise<number | null> {
    const startMs = performance.now()
    let [refusals, firstMs] = [0, 0]
    while (performance.now() - startMs < refusedMsMax) {
      const { status } = await fetch(`${issuer}/playground/verifier/verify`, {
        headers: this.#bearer(),
      })
      if (status === 401 && refusals === 0) firstMs = performance.now()
      refusals = status === 401 ? refusals + 1 : 0
      if (refusals === refusalsWanted) return firstMs - startMs
      await pause(10)
    }
    return null
  }

  async #present(token: string): Promise<Answer> {
    return jsonOf<Answer>(await post('/refresh', { refresh_token: token }))
  }

  #bearer(): Record<string, string> {
    return { authorization: `Bearer ${this.#accessToken}` }
  }
}

/** It stands in the token: `gpr_<session>.<generation>.<mac>`. */
function generationOf(refreshToken: string): number {
  return Number(refreshToken.split('.')[1])
}
