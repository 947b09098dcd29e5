import type { KeyState } from '../api.ts'
import { byId, el, short } from './dom.ts'
import type { Page } from './page.ts'

const meanings: Readonly<Record<KeyState['state'], string>> = {
  pending: 'published, does not sign yet',
  active: 'signs',
  retiring: 'signs no more, still checked',
}

/** The keys that are published. */
export function startKeysCard({ feed }: Page): void {
  const list = byId('keys')
  let shown = ''
  feed.onState(({ keys }) => {
    const now = JSON.stringify(keys)
    if (now === shown) return
    shown = now
    list.replaceChildren(...keys.map(row))
  })
}

function row({ kid, state, signs_in_s }: KeyState): HTMLElement {
  const soon = state === 'pending' ? ` (in ${signs_in_s} s)` : ''
  return el(
    'li',
    { 'data-state': state, 'data-kid': kid },
    el('code', {}, short(kid)),
    el('span', { class: 'badge' }, state),
    el('span', { class: 'meaning' }, `${meanings[state]}${soon}`),
  )
}
