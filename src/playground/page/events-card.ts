import type { PlaygroundEvent } from '../api.ts'
import { byId, el, short } from './dom.ts'
import { eventWords } from './event-words.ts'
import type { Page } from './page.ts'

const shownMax = 15

/** The audit log of the issuer, as it grows. */
export function startEventsCard({ auth, feed }: Page): void {
  const list = byId('events')
  feed.onState(({ events }) => {
    const { state } = auth
    const own = state.status === 'signed-in' ? state.sessionId : undefined
    list.prepend(...events.toReversed().map((event) => row(event, own)))
    while (list.children.length > shownMax) list.lastElementChild?.remove()
    byId('no-events').hidden = list.children.length > 0
  })
}

function row({ event, at, session_id, kid, reason }: PlaygroundEvent, own: string | undefined) {
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
