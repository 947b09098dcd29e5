import { createAuthClient } from '../../browser/index.ts'
import type { PlaygroundEvent, RefreshTokenState } from '../api.ts'
import { byId, el, notify, onClick, setText, shortId } from './dom.ts'
import type { Page } from './page.ts'
import { issuer, jsonOf } from './server.ts'

const lifetimePollMs = 250
const refreshTokenPollMs = 2_000
const maxShownGenerations = 12

/** Starts the card of the access token: its content and remaining lifetime. */
export function startAccessTokenCard({ auth }: Page): void {
  let shown: string | null = null
  let lifetimeSeconds = 0
  const showToken = async () => {
    const token = auth.state.status === 'signed-in' ? await auth.getAccessToken() : null
    if (token === shown || token === null) return
    shown = token
    const [header = '', claims = '', signature = ''] = token.split('.')
    byId('token-text').replaceChildren(
      el('span', { class: 'part-header' }, header),
      '.',
      el('span', { class: 'part-claims' }, claims),
      '.',
      el('span', { class: 'part-signature' }, signature),
    )
    const decoded = decodePart(claims)
    lifetimeSeconds = Number(decoded.exp) - Number(decoded.iat)
    byId('token-header').replaceChildren(...rows(decodePart(header)))
    byId('token-claims').replaceChildren(...rows(decoded))
    setText(byId('key-of-token'), shortId(String(decodePart(header).kid)))
  }
  auth.onChange(() => showToken().catch(() => {}))
  setInterval(() => {
    const { state } = auth
    if (state.status !== 'signed-in') return
    const leftMs = state.accessTokenExpiresAtMs - Date.now()
    showLifetime(Math.max(0, leftMs / 1000), lifetimeSeconds)
  }, lifetimePollMs)
  onClick('refresh-now', refreshNow)
  onClick('copy-token', async () => {
    await navigator.clipboard.writeText((await auth.getAccessToken()) ?? '')
    notify('Copied the access token. Try: npm run gatepass -- token inspect -', 'good')
  })
}

/**
 * Refreshes through a second client without a token, as another tab does. The page's own client receives
 * the new token from it.
 * @returns the access token; null without a session
 */
export async function refreshNow(): Promise<string | null> {
  const client = createAuthClient({ issuer })
  try {
    return await client.getAccessToken()
  } finally {
    client.close()
  }
}

function showLifetime(leftSeconds: number, lifetimeSeconds: number): void {
  const part = lifetimeSeconds === 0 ? 0 : Math.min(1, leftSeconds / lifetimeSeconds)
  const bar = byId('token-life')
  const left = Math.ceil(leftSeconds)
  bar.style.setProperty('--part', String(part))
  bar.setAttribute('aria-valuemax', String(lifetimeSeconds))
  bar.setAttribute('aria-valuenow', String(left))
  bar.setAttribute('aria-valuetext', `${left} of ${lifetimeSeconds} seconds left`)
  bar.classList.toggle('is-late', part < 1 / 5)
  setText(byId('token-left'), `${left} s`)
}

/** Decodes the header or the claims of a token. */
export function decodePart(part: string): Record<string, unknown> {
  const text = atob(part.replaceAll('-', '+').replaceAll('_', '/'))
  const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0))
  return JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>
}

/** Explains the members of a token's header and claims. */
const claimWords: Readonly<Record<string, string>> = {
  acr: 'sign-in level',
  alg: 'algorithm',
  aud: 'audience',
  amr: 'sign-in method',
  auth_time: 'signed in at',
  client_id: 'client',
  exp: 'expires at',
  iat: 'issued at',
  iss: 'issuer',
  jti: 'token id',
  kid: 'key id',
  scope: 'scope',
  sid: 'session',
  sub: 'user',
  typ: 'type',
}

const times = new Set(['exp', 'iat', 'auth_time', 'nbf'])

function rows(object: Record<string, unknown>): HTMLElement[] {
  return Object.entries(object).map(([name, value]) => {
    const text = typeof value === 'string' ? value : JSON.stringify(value)
    const shown = times.has(name) ? new Date(Number(value) * 1000).toLocaleTimeString() : text
    return el(
      'div',
      {},
      el('dt', {}, el('code', {}, name), ` ${claimWords[name] ?? ''}`),
      el('dd', { title: text }, shown),
    )
  })
}

/** Starts the card of the refresh token: its generation and grace period. */
export function startRefreshTokenCard({ auth, feed }: Page): void {
  const generations = new GenerationList()
  let asked = Promise.resolve()
  const ask = async () => {
    if (auth.state.status !== 'signed-in') return
    try {
      const token = await readRefreshToken(auth)
      generations.show(token)
      showGracePeriod(token.grace_left_ms)
    } catch {
      // The client of the page handles an outage or a sign-out.
    }
  }
  const askNext = () => {
    asked = asked.then(ask)
  }
  setInterval(() => document.hidden || askNext(), refreshTokenPollMs)
  auth.onChange(askNext)
  feed.onState(({ events, grace_s }) => {
    setText(byId('grace-seconds'), String(grace_s))
    const { state } = auth
    if (state.status !== 'signed-in') return
    for (const event of events) {
      if (event.session_id === state.sessionId) generations.mark(event)
    }
    if (events.length > 0) askNext()
  })
}

/** Asks the issuer for the refresh token's state. A tab that was signed out notices it by this call. */
export async function readRefreshToken(auth: Page['auth']): Promise<RefreshTokenState> {
  return jsonOf<RefreshTokenState>(await auth.fetch(`${issuer}/playground/session`))
}

function showGracePeriod(leftMs: number): void {
  const text =
    leftMs > 0
      ? `Grace period: ${Math.ceil(leftMs / 1000)} s left. A refresh returns the same token again.`
      : 'The grace period is over. The next refresh replaces the token.'
  setText(byId('grace'), text)
}

/** The list of generations, with a mark for each event. */
class GenerationList {
  #session = ''
  #generation = 0
  #replays = 0
  readonly #list = byId('generations')

  show({ session_id, generation }: RefreshTokenState): void {
    if (session_id !== this.#session) {
      this.#session = session_id
      this.#replays = 0
      this.#generation = -1
    }
    if (generation === this.#generation) return
    this.#generation = generation
    setText(byId('generation'), String(generation))
    const first = Math.max(0, generation - maxShownGenerations + 1)
    const items = Array.from({ length: generation - first + 1 }, (_, at) => first + at)
    this.#list.replaceChildren(
      ...(first > 0 ? [el('li', { class: 'more' }, '…')] : []),
      ...items.map((item) =>
        el(
          'li',
          { class: item === generation ? 'generation current' : 'generation' },
          el('span', { class: 'visually-hidden' }, 'generation '),
          String(item),
        ),
      ),
    )
  }

  mark({ event }: PlaygroundEvent): void {
    if (event === 'refresh.replayed') this.#replays++
    setText(byId('replays'), String(this.#replays))
    const current = this.#list.querySelector('.current')
    current?.classList.remove('pulse')
    // The animation restarts when the class returns in the next frame.
    requestAnimationFrame(() => current?.classList.add('pulse'))
  }
}
