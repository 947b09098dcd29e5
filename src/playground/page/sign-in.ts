import { AuthClientError, type AuthState } from '../../browser/index.ts'
import { busyWhile, byId, el, messageOf, setText, shortId } from './dom.ts'
import type { Page } from './page.ts'

export function startSignIn({ auth, feed, password: prompt }: Page): void {
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
        prompt.keep(password.value)
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
export function startAccount(page: Page): void {
  const signOut = byId('sign-out')
  signOut.addEventListener('click', () =>
    busyWhile(signOut, async () => {
      page.expectSignOut('here')
      await page.auth.logout()
    }),
  )
  const everywhere = byId('sign-out-everywhere')
  everywhere.addEventListener('click', () =>
    busyWhile(everywhere, async () => {
      page.expectSignOut('here')
      await page.auth.logoutEverywhere()
    }),
  )
}

/** Shows the dashboard to a user who is signed in, and the form to everyone else. */
export function showAuthState(page: Page, state: AuthState, before: AuthState): void {
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
    showUser(page)
    if (before.status === 'signed-out') byId('dashboard-title').focus()
  } else if (before.status === 'signed-in') {
    showSignOutMessage(page.signOutMessage())
    byId('welcome-title').focus()
  }
}

function showUser({ auth }: Page): void {
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
