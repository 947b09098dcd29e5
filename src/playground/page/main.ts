import { AuthClientError, type AuthState } from '../../browser/index.ts'
import { browser } from '../../browser/platform.ts'
import { startCartCard } from './cart-card.ts'
import { startDevicesCard } from './devices-card.ts'
import { busyWhile, byId, el, messageOf, notify, onClick, setText, shortId } from './dom.ts'
import { startEventsCard, startKeysCard, startThirdPartyCard } from './issuer-cards.ts'
import { Page } from './page.ts'
import { startReplicasCard } from './replicas-card.ts'
import { startScenarios } from './scenarios.ts'
import { startAccessTokenCard, startRefreshTokenCard } from './token-cards.ts'

const page = new Page()
const { auth } = page

startTheme()
startAccount()
startSignIn()
startAccessTokenCard(page)
startRefreshTokenCard(page)
startReplicasCard(page)
startKeysCard(page)
startCartCard(page)
startDevicesCard(page)
startScenarios(page)
startThirdPartyCard(page)
startEventsCard(page)

let before = auth.state
auth.onChange((state) => {
  showAuthState(state, before)
  before = state
})
page.feed.onState(() => {
  // After an outage nobody else asks whether the user is signed in.
  if (auth.state.status === 'unknown') auth.getAccessToken().catch(() => {})
})
document.documentElement.dataset.status = 'unknown'
page.feed.ask()
auth
  .getAccessToken()
  .catch(() => notify('The issuer is not responding. Start it again.', 'bad'))
  .finally(() => showAuthState(auth.state, auth.state))

/** Starts the button that switches the theme. The browser keeps the choice. */
function startTheme(): void {
  const names = { auto: 'Theme: system', light: 'Theme: light', dark: 'Theme: dark' } as const
  const themes = ['auto', 'light', 'dark'] as const
  const kept = browser.item('gatepass playground theme')
  const toggle = byId('theme')
  let theme = themes.find((one) => one === kept.get()) ?? 'auto'
  const show = () => {
    document.documentElement.dataset.theme = theme
    toggle.setAttribute('aria-label', names[theme])
    toggle.title = names[theme]
  }
  toggle.addEventListener('click', () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length] ?? 'auto'
    kept.set(theme)
    show()
  })
  show()
}

/** Starts the sign-in form. */
function startSignIn(): void {
  const { feed, password: prompt } = page
  const form = byId<HTMLFormElement>('sign-in-form')
  const username = byId<HTMLInputElement>('username')
  const password = byId<HTMLInputElement>('password')
  const submit = byId<HTMLButtonElement>('sign-in-button')
  password.value = prompt.known ?? ''
  byId('from-terminal').hidden = prompt.known === null
  byId('where-password').hidden = prompt.known !== null
  // Once: a user may clear the field to enter another name.
  feed
    .until(() => true)
    .then(({ username: name }) => {
      if (username.value === '') username.value = name
    })
  form.addEventListener('submit', (event) => {
    event.preventDefault()
    busyWhile(submit, async () => {
      showError('')
      try {
        await auth.login({ username: username.value, password: password.value })
        prompt.known = password.value
      } catch (error) {
        showError(refusalOf(error))
        password.focus()
      }
    })
  })
}

function showError(text: string): void {
  const place = byId('sign-in-error')
  setText(place, text)
  place.hidden = text === ''
  byId('password').setAttribute('aria-invalid', String(text !== ''))
}

function refusalOf(error: unknown): string {
  if (!(error instanceof AuthClientError)) return 'The sign-in failed. Reload the page.'
  if (error.code === 'too_many_attempts') {
    return `Too many attempts. Try again in ${error.retryAfterSeconds ?? 'a few'} seconds.`
  }
  return messageOf(error)
}

/** Starts the header with the user's name and the sign-out buttons. */
function startAccount(): void {
  onClick('sign-out', () => {
    page.expectSignOut('here')
    return auth.logout()
  })
  onClick('sign-out-everywhere', () => {
    page.expectSignOut('here')
    return auth.logoutEverywhere()
  })
}

/** Shows the dashboard to a user who is signed in, and the form to everyone else. */
function showAuthState(state: AuthState, before: AuthState): void {
  const isSignedIn = state.status === 'signed-in'
  document.documentElement.dataset.status = state.status
  byId('welcome').hidden = isSignedIn
  byId('dashboard').hidden = !isSignedIn
  byId('account').hidden = !isSignedIn
  if (isSignedIn) {
    setText(byId('session-id'), shortId(state.sessionId))
    // Another page of this site may have signed in another user.
    if (before.status === 'signed-in' && before.sessionId === state.sessionId) return
    showSignOutMessage(null)
    showUser()
    if (before.status === 'signed-out') byId('dashboard-title').focus()
  } else if (before.status === 'signed-in') {
    byId<HTMLDialogElement>('ask-password').close()
    showSignOutMessage(page.signOutMessage())
    byId('welcome-title').focus()
  }
}

function showUser(): void {
  auth
    .user()
    .then((user) => setText(byId('user-name'), user?.username ?? ''))
    .catch(() => {})
}

function showSignOutMessage(text: string | null): void {
  const place = byId('farewell')
  place.hidden = text === null
  place.replaceChildren(...(text === null ? [] : [el('p', {}, text)]))
}
