import { AuthClientError, createAuthClient } from '../../browser/redirect.ts'
import type { ThirdPartySettings } from '../api.ts'
import { byId, el, messageOf, notify, onClick, setText, shortId } from '../page/dom.ts'

const settings = (await (await fetch('settings.json')).json()) as ThirdPartySettings
const { issuer, api } = settings

const auth = createAuthClient({
  issuer,
  clientId: settings.client_id,
  redirectUri: `${location.origin}/`,
  scope: settings.scope,
  origins: [api],
})

byId<HTMLAnchorElement>('playground').href = `${issuer}/`
// The button stays usable: `login` waits on if the user stops the browser on the way to the issuer.
byId('sign-in').addEventListener('click', () =>
  auth.login().catch((error) => notify(messageOf(error), 'bad')),
)
onClick('sign-in-popup', () => auth.login({ popup: true }).catch(showRefusal))
onClick('sign-out', () => auth.logout())
onClick('call-allowed', () => callApi('/whoami'))
onClick('call-refused', () => callApi('/data/user/cart'))

auth.onChange(showState)
const failures: unknown[] = []
const note = (error: unknown) => failures.push(error)
await auth.returned.catch(note)
// After a reload the client has a refresh token, and no access token yet.
await auth.getAccessToken().catch(note)
await showState()
if (failures.length > 0) showRefusal(failures[0])

/** Shows what the application knows of the user, or the button to sign in. */
async function showState(): Promise<void> {
  const { state } = auth
  const isSignedIn = state.status === 'signed-in'
  const wasSignedIn = !byId('dashboard').hidden
  const wasSignedOut = !byId('welcome').hidden
  byId('welcome').hidden = isSignedIn
  byId('dashboard').hidden = !isSignedIn
  byId('account').hidden = !isSignedIn
  byId('refusal').hidden = true
  if (!isSignedIn) {
    byId('answers').replaceChildren()
    if (wasSignedIn) byId('welcome-title').focus()
    return
  }
  if (wasSignedOut) byId('dashboard-title').focus()
  const user = await userInfo()
  setText(byId('user-name'), user.name ?? '')
  const rows = [
    ['scope', state.scope],
    ['name', user.name ?? 'none'],
    ['sub', user.sub],
    ['session', shortId(state.sessionId)],
  ]
  byId('given').replaceChildren(
    ...rows.map(([name = '', value = '']) =>
      el('div', {}, el('dt', {}, name), el('dd', {}, el('code', {}, value))),
    ),
  )
}

/** OpenID Connect Core §5.3. */
async function userInfo(): Promise<{ readonly sub: string; readonly name?: string }> {
  const response = await auth.fetch(`${issuer}/oauth/userinfo`).catch(() => null)
  return response?.ok ? response.json() : { sub: 'unknown' }
}

async function callApi(path: string): Promise<void> {
  const response = await auth.fetch(api + path).catch(() => null)
  const { code = 'accepted' } = response === null ? {} : await response.json()
  const words = response === null ? 'no response' : `${response.status} ${code}`
  byId('answers').prepend(
    el(
      'li',
      { class: response?.ok ? 'good' : 'bad' },
      el('code', {}, `GET ${path}`),
      el('strong', {}, words),
    ),
  )
}

function showRefusal(error: unknown): void {
  const place = byId('refusal')
  const text = messageOf(error)
  const codes = error instanceof AuthClientError ? [error.code] : []
  setText(
    place,
    text.startsWith('access_denied')
      ? 'You have not allowed Photo Prints to use your account.'
      : [...new Set([...codes, text])].join(': '),
  )
  place.hidden = false
}
