import { createAuthClient } from '../../browser/index.ts'
import { busyWhile, byId, el, notify, setText, short } from './dom.ts'
import type { Page } from './page.ts'
import { issuer } from './server.ts'
import { claimWords } from './words.ts'

/** The access token: what it says, and how long it lives. */
export function startTokenCard({ auth }: Page): void {
  let shown: string | null = null
  let life_s = 0
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
    const said = decode(claims)
    life_s = Number(said.exp) - Number(said.iat)
    byId('token-header').replaceChildren(...rows(decode(header)))
    byId('token-claims').replaceChildren(...rows(said))
    setText(byId('key-of-token'), short(String(decode(header).kid)))
  }
  auth.onChange(() => showToken().catch(() => {}))
  setInterval(() => {
    const { state } = auth
    if (state.status !== 'signed-in') return
    const leftMs = state.accessTokenExpiresAtMs - Date.now()
    showLife(Math.max(0, leftMs / 1000), life_s)
  }, 250)
  const refresh = byId('refresh-now')
  refresh.addEventListener('click', () =>
    busyWhile(refresh, async () => {
      await refreshNow()
    }),
  )
  const copy = byId('copy-token')
  copy.addEventListener('click', () =>
    busyWhile(copy, async () => {
      await navigator.clipboard.writeText((await auth.getAccessToken()) ?? '')
      notify('The access token is copied. Try: npm run gatepass -- token inspect', 'good')
    }),
  )
}

/**
 * Has the next token fetched by a client that has none: it does what another tab would do, and the
 * client of this page hears of the token as it would from there, a moment later.
 * @returns the token; null when nobody is signed in
 */
export async function refreshNow(): Promise<string | null> {
  const another = createAuthClient({ issuer })
  try {
    return await another.getAccessToken()
  } finally {
    another.close()
  }
}

function showLife(left_s: number, life_s: number): void {
  const part = life_s === 0 ? 0 : Math.min(1, left_s / life_s)
  const bar = byId('token-life')
  const left = Math.ceil(left_s)
  bar.style.setProperty('--part', String(part))
  bar.setAttribute('aria-valuemax', String(life_s))
  bar.setAttribute('aria-valuenow', String(left))
  bar.setAttribute('aria-valuetext', `${left} of ${life_s} seconds left`)
  bar.classList.toggle('is-late', part < 1 / 5)
  setText(byId('token-left'), `${left} s`)
}

function decode(part: string): Record<string, unknown> {
  const text = atob(part.replaceAll('-', '+').replaceAll('_', '/'))
  const bytes = Uint8Array.from(text, (sign) => sign.charCodeAt(0))
  return JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>
}

const instants = new Set(['exp', 'iat', 'auth_time', 'nbf'])

function rows(object: Record<string, unknown>): HTMLElement[] {
  return Object.entries(object).map(([name, value]) => {
    const text = typeof value === 'string' ? value : JSON.stringify(value)
    const shown = instants.has(name) ? new Date(Number(value) * 1000).toLocaleTimeString() : text
    return el(
      'div',
      {},
      el('dt', {}, el('code', {}, name), ` ${claimWords[name] ?? ''}`),
      el('dd', { title: text }, shown),
    )
  })
}
