import { AuthClientError } from '../../browser/issuer-calls.ts'
import { busyWhile, byId, el, setText } from './dom.ts'
import type { Page } from './page.ts'

/**
 * The password that the link in the terminal has brought along. What stands behind the `#` is not sent
 * to any server; it is taken out of the address at once.
 */
export function takePassword(): string | null {
  const password = new URLSearchParams(location.hash.slice(1)).get('password')
  if (password !== null) history.replaceState(null, '', location.pathname)
  return password
}

/**
 * Keeps the password for drills that sign in once more. A page of your own has no need of it after the
 * sign-in, and should not do so.
 */
export class PasswordKeeper {
  #password: string | null

  constructor(password: string | null) {
    this.#password = password
  }

  get known(): string | null {
    return this.#password
  }

  keep(password: string): void {
    this.#password = password
  }

  /** Asks where it is not known: after a reload it is gone. */
  async ask(): Promise<string | null> {
    if (this.#password !== null) return this.#password
    const dialog = byId<HTMLDialogElement>('ask-password')
    const input = byId<HTMLInputElement>('asked-password')
    input.value = ''
    dialog.returnValue = ''
    dialog.showModal()
    await new Promise((resolve) => dialog.addEventListener('close', resolve, { once: true }))
    if (dialog.returnValue !== 'ok' || input.value === '') return null
    this.#password = input.value
    input.value = ''
    return this.#password
  }

  /** Forgets it: it was wrong. */
  drop(): void {
    this.#password = null
  }
}

/** The form to sign in. */
export function startSignIn({ auth, feed }: Page, keeper: PasswordKeeper): void {
  const form = byId<HTMLFormElement>('sign-in-form')
  const username = byId<HTMLInputElement>('username')
  const password = byId<HTMLInputElement>('password')
  const submit = byId<HTMLButtonElement>('sign-in-button')
  password.value = keeper.known ?? ''
  byId('from-terminal').hidden = keeper.known === null
  byId('where-password').hidden = keeper.known !== null
  feed.onState(({ username: name }) => {
    if (username.value === '') username.value = name
  })
  form.addEventListener('submit', (event) => {
    event.preventDefault()
    busyWhile(submit, async () => {
      showError('')
      try {
        await auth.login({ username: username.value, password: password.value })
        keeper.keep(password.value)
      } catch (error) {
        showError(sentenceOf(error))
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

function sentenceOf(error: unknown): string {
  if (!(error instanceof AuthClientError)) return 'Something went wrong.'
  if (error.code === 'too_many_attempts') {
    return `Too many attempts. Try again in ${error.retryAfterSeconds ?? 'a few'} seconds.`
  }
  if (error.code === 'issuer_unreachable') return 'The issuer does not answer. Is it running?'
  return error.message
}

/** Says above the form how the last session has ended. */
export function showFarewell(text: string | null): void {
  const place = byId('farewell')
  place.hidden = text === null
  place.replaceChildren(...(text === null ? [] : [el('p', {}, text)]))
}
