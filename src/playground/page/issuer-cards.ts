import type { AuditEvent } from '../../issuer/audit.ts'
import type { KeyState, PlaygroundEvent } from '../api.ts'
import { button, byId, el, listView, notify, shortId } from './dom.ts'
import type { Page } from './page.ts'
import { issuer, jsonOf } from './server.ts'

/** Explains each state of a signing key. */
const keyStateWords: Readonly<Record<KeyState['state'], string>> = {
  pending: 'published; does not sign yet',
  active: 'signs new tokens',
  retiring: 'no new tokens; still verifies',
}

/** Starts the list of published signing keys. */
export function startKeysCard({ feed }: Page): void {
  const show = listView('keys', keyRow)
  feed.onState(({ keys }) => show(keys))
}

function keyRow({ kid, state, signs_in_s }: KeyState): HTMLElement {
  const delay = state === 'pending' ? ` (in ${signs_in_s} s)` : ''
  return el(
    'li',
    { 'data-state': state, 'data-kid': kid },
    el('code', {}, shortId(kid)),
    el('span', { class: 'badge' }, state),
    el('span', { class: 'hint' }, `${keyStateWords[state]}${delay}`),
  )
}

const maxShownEvents = 15

/** Explains each audit event. */
const eventWords: Readonly<Record<AuditEvent, string>> = {
  'login.ok': 'a user signed in',
  'login.failed': 'a sign-in failed: wrong user name or password',
  'login.throttled': 'a sign-in was refused: too many attempts',
  'refresh.rotated': 'the refresh token was replaced',
  'refresh.replayed': 'a refresh was repeated and got the same tokens',
  'refresh.reused': 'a replaced refresh token came back: the session was revoked',
  'refresh.refused': 'a refresh was refused',
  logout: 'a user signed out',
  'logout.all': 'a user signed out on all devices',
  'session.revoked': 'a session was signed out from another device',
  'consent.granted': 'a user let an application use the account',
  'consent.withdrawn': 'a user withdrew the consent for an application',
  'client.refused': 'a client failed to authenticate',
  'token.issued': 'a service received an access token',
  'token.exchanged': 'a service exchanged the token of a user',
  'key.created': 'a signing key was created',
  'key.activated': 'a signing key became active',
  'key.removed': 'a key was removed from the published keys',
  'key.revoked': 'a key was revoked: its tokens are refused',
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
  const subject = id === undefined ? '' : id === own ? 'this device' : shortId(id)
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

/** An entry of `GET /consents`. */
interface Consent {
  readonly client_id: string
  readonly client_name: string
  readonly scope: string
}

/** Starts the card of the third-party application, with the consents of the user. */
export function startThirdPartyCard({ auth, feed }: Page): void {
  const show = async () => {
    if (auth.state.status !== 'signed-in') return
    const response = await auth.fetch(`${issuer}/consents`)
    const { consents } = await jsonOf<{ readonly consents: readonly Consent[] }>(response)
    byId('no-consents').hidden = consents.length > 0
    showRows(consents)
  }
  const row = ({ client_id: id, client_name: name, scope }: Consent) => {
    const withdraw = async () => {
      const url = `${issuer}/consents/${encodeURIComponent(id)}`
      await jsonOf<void>(await auth.fetch(url, { method: 'DELETE' }))
      notify(`${name} is signed out and must ask you again.`, 'good')
      await show()
      byId('consents').focus()
    }
    return el(
      'li',
      { 'data-client': id },
      el('div', { class: 'device' }, el('strong', {}, name), el('code', { class: 'hint' }, scope)),
      button('Withdraw', { class: 'small danger', 'aria-label': `Withdraw: ${name}` }, withdraw),
    )
  }
  const showRows = listView('consents', row)
  auth.onChange(() => show().catch(() => {}))
  feed.onState(({ third_party: origin, events }) => {
    byId('third-party').hidden = origin === null
    if (origin !== null) byId<HTMLAnchorElement>('open-third-party').href = `${origin}/`
    if (events.some(({ event }) => event.startsWith('consent.'))) show().catch(() => {})
  })
}
