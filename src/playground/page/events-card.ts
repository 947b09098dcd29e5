import type { PlaygroundEvent } from '../api.ts'
import { byId, el, short } from './dom.ts'
import type { Page } from './page.ts'

const shownMax = 15

const sentences: Readonly<Record<string, string>> = {
  'login.ok': 'signed in',
  'login.failed': 'a password was wrong',
  'login.throttled': 'too many attempts',
  'refresh.rotated': 'the refresh token was replaced',
  'refresh.replayed': 'the same refresh token again: given the same answer',
  'refresh.reused': 'an old refresh token came back: the session has ended',
  'refresh.refused': 'a refresh was refused',
  logout: 'signed out',
  'logout.all': 'signed out everywhere',
  'session.ended': 'signed out from another device',
}

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

function row({ event, at, session_id, reason }: PlaygroundEvent, own: string | undefined) {
  const who = session_id === undefined ? '' : session_id === own ? 'this device' : short(session_id)
  const more = reason === undefined ? '' : ` (${reason.replaceAll('_', ' ')})`
  return el(
    'li',
    { class: `event ${event.replace('.', '-')}` },
    el('time', { datetime: at }, new Date(at).toLocaleTimeString()),
    el('code', {}, event),
    el('span', { class: 'sentence' }, `${sentences[event] ?? ''}${more}`),
    el('span', { class: 'who' }, who),
  )
}
