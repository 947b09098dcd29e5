import { createAuthClient } from '../../browser/index.ts'
import { byId } from './dom.ts'
import { issuer, StateFeed } from './server.ts'
import { Traffic } from './traffic.ts'

/** The objects that the cards of the page share. */
export class Page {
  readonly auth = createAuthClient({ issuer })
  readonly feed = new StateFeed()
  readonly traffic = new Traffic(this.auth)
  readonly password = new PasswordPrompt()
  #expectedSignOut: 'here' | number | null = null

  /**
   * Announces that this session is about to end.
   * @param by `here` for a sign-out in this tab, or the time (`performance.now()`) of a sign-out elsewhere
   */
  expectSignOut(by: 'here' | number): void {
    this.#expectedSignOut = by
  }

  /** Describes how the session ended, for the sign-in form. */
  signOutMessage(): string {
    const by = this.#expectedSignOut
    this.#expectedSignOut = null
    if (by === 'here') return 'You have signed out in all tabs of this browser.'
    const delay =
      by === null ? '' : ` This tab noticed after ${Math.round(performance.now() - by)} ms.`
    return `You were signed out from another tab or device.${delay}`
  }
}

/**
 * Takes the password out of the link in the terminal. A browser does not send the part after `#` to any
 * server, and the page removes it from the address.
 */
function takePassword(): string | null {
  const password = passwordInAddress()
  if (password !== null) history.replaceState(null, '', location.pathname)
  return password
}

function passwordInAddress(): string | null {
  return new URLSearchParams(location.hash.slice(1)).get('password')
}

// In a tab that shows the page already, a browser loads nothing for the link in the terminal.
addEventListener('hashchange', () => {
  if (passwordInAddress() !== null) location.reload()
})

/**
 * Keeps the password for scenarios that sign in a second device. A production page does not need the
 * password after sign-in and should not keep it.
 */
class PasswordPrompt {
  /** null after a reload, and after a sign-in with a wrong password. */
  known = takePassword()

  /** Returns the password; asks for it after a reload. null if the user cancels. */
  async ask(): Promise<string | null> {
    if (this.known !== null) return this.known
    const dialog = byId<HTMLDialogElement>('ask-password')
    const input = byId<HTMLInputElement>('asked-password')
    input.value = ''
    dialog.returnValue = ''
    dialog.showModal()
    await new Promise((resolve) => dialog.addEventListener('close', resolve, { once: true }))
    if (dialog.returnValue !== 'ok' || input.value === '') return null
    this.known = input.value
    input.value = ''
    return this.known
  }
}
