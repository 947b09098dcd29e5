import { button, byId, el, notify } from './dom.ts'
import type { Page } from './page.ts'
import { issuer, jsonOf } from './server.ts'

/** An entry of `GET /consents`. */
interface Consent {
  readonly client_id: string
  readonly client_name: string
  readonly scope: string
}

/** Starts the card of the third-party application, with the consents of the user. */
export function startThirdPartyCard({ auth, feed }: Page): void {
  const list = byId('consents')
  let shown = ''
  const show = async () => {
    if (auth.state.status !== 'signed-in') return
    const response = await auth.fetch(`${issuer}/consents`)
    const { consents } = await jsonOf<{ readonly consents: readonly Consent[] }>(response)
    const current = JSON.stringify(consents)
    // An unchanged list keeps its buttons, and with them the focus.
    if (current === shown) return
    shown = current
    byId('no-consents').hidden = consents.length > 0
    list.replaceChildren(...consents.map(row))
  }
  const row = ({ client_id: id, client_name: name, scope }: Consent) => {
    const withdraw = async () => {
      const url = `${issuer}/consents/${encodeURIComponent(id)}`
      await jsonOf<void>(await auth.fetch(url, { method: 'DELETE' }))
      notify(`${name} is signed out and must ask you again.`, 'good')
      await show()
      list.focus()
    }
    return el(
      'li',
      { 'data-client': id },
      el('div', { class: 'device' }, el('strong', {}, name), el('code', { class: 'since' }, scope)),
      button('Withdraw', { class: 'small danger', 'aria-label': `Withdraw: ${name}` }, withdraw),
    )
  }
  auth.onChange(() => show().catch(() => {}))
  feed.onState(({ third_party: origin, events }) => {
    byId('third-party').hidden = origin === null
    if (origin !== null) byId<HTMLAnchorElement>('open-third-party').href = `${origin}/`
    if (events.some(({ event }) => event.startsWith('consent.'))) show().catch(() => {})
  })
}
