import type { KeyState, PlaygroundEvent } from '../api.ts'
import { byId, el, short } from './dom.ts'
import type { Page } from './page.ts'
import { eventWords, keyStateWords } from './words.ts'

const maxShownEvents = 15

/** Starts the list of published signing keys. */
export function startKeysCard({ feed }: Page): void {
  const list = byId('keys')
  let shown = ''
  feed.onState(({ keys }) => {
    const current = JSON.stringify(keys)
    if (current === shown) return
    shown = current
    list.replaceChildren(...keys.map(keyRow))
  })
}

function keyRow({ kid, state, signs_in_s }: KeyState): HTMLElement {
  const delay = state === 'pending' ? ` (in ${signs_in_s} s)` : ''
  return el(
    'li',
    { 'data-state': state, 'data-kid': kid },
    el('code', {}, short(kid)),
    el('span', { class: 'badge' }, state),
    el('span', { class: 'meaning' }, `${keyStateWords[state]}${delay}`),
  )
}

/** Starts the audit log, newest event first. */
export function startEventsCard({ auth, feed }: Page): void {
  const list = byId('events')
  feed.onState(({ events }) => {
    const { state } = auth
    const own = state.status === 'signed-in' ? state.sessionId : undefined
    list.prepend(...events.toReversed().map((event) => eventRow(event, own)))
    while (list.children.length > maxShownEvents) list.lastElementChild?.remove()
    byId('no-events').hidden = list.children.length > 0
  })
}

function eventRow(
  { event, at, session_id, kid, reason }: PlaygroundEvent,
  own: string | undefined,
) {
  const id = session_id ?? kid
  const subject = id === undefined ? '' : id === own ? 'this device' : short(id)
  const details = reason === undefined ? '' : ` (${reason.replaceAll('_', ' ')})`
  return el(
    'li',
    { class: `event ${event.replace('.', '-')}` },
    el('time', { datetime: at }, new Date(at).toLocaleTimeString()),
    el('code', {}, event),
    el('span', { class: 'sentence' }, `${eventWords[event]}${details}`),
    el('span', { class: 'who' }, subject),
  )
}
