import type { KeyState, PlaygroundEvent } from '../api.ts'
import { byId, el, short } from './dom.ts'
import type { Page } from './page.ts'
import { eventWords, keyStateWords } from './words.ts'

/** The keys that are published. */
export function startKeysCard({ feed }: Page): void {
  const list = byId('keys')
  let shown = ''
  feed.onState(({ keys }) => {
    const now = JSON.stringify(keys)
    if (now === shown) return
    shown = now
    list.replaceChildren(...keys.map(keyRow))
  })
}

function keyRow({ kid, state, signs_in_s }: KeyState): HTMLElement {
  const soon = state === 'pending' ? ` (in ${signs_in_s} s)` : ''
  return el(
    'li',
    { 'data-state': state, 'data-kid': kid },
    el('code', {}, short(kid)),
    el('span', { class: 'badge' }, state),
    el('span', { class: 'meaning' }, `${keyStateWords[state]}${soon}`),
  )
}

const shownMax = 15

/** The audit log of the issuer, as it grows. */
export function startEventsCard({ auth, feed }: Page): void {
  const list = byId('events')
  feed.onState(({ events }) => {
    const { state } = auth
    const own = state.status === 'signed-in' ? state.sessionId : undefined
    list.prepend(...events.toReversed().map((event) => eventRow(event, own)))
    while (list.children.length > shownMax) list.lastElementChild?.remove()
    byId('no-events').hidden = list.children.length > 0
  })
}

function eventRow(
  { event, at, session_id, kid, reason }: PlaygroundEvent,
  own: string | undefined,
) {
  const id = session_id ?? kid
  const who = id === undefined ? '' : id === own ? 'this device' : short(id)
  const more = reason === undefined ? '' : ` (${reason.replaceAll('_', ' ')})`
  return el(
    'li',
    { class: `event ${event.replace('.', '-')}` },
    el('time', { datetime: at }, new Date(at).toLocaleTimeString()),
    el('code', {}, event),
    el('span', { class: 'sentence' }, `${eventWords[event]}${more}`),
    el('span', { class: 'who' }, who),
  )
}
