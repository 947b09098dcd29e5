import { type AuthState, createAuthClient } from '../../browser/index.ts'
import { startCartCard } from './cart-card.ts'
import { startDevicesCard } from './devices-card.ts'
import { busyWhile, byId, notify, setText, short } from './dom.ts'
import { startEventsCard, startKeysCard } from './issuer-cards.ts'
import type { Page } from './page.ts'
import { startNoneLeft, startReplicasCard } from './replicas-card.ts'
import { startDrills } from './scenarios.ts'
import { issuer, StateFeed } from './server.ts'
import { startLineCard } from './session-card.ts'
import { PasswordKeeper, showFarewell, startSignIn, takePassword } from './sign-in.ts'
import { startTheme } from './theme.ts'
import { startTokenCard } from './token-card.ts'
import { Traffic } from './traffic.ts'

const auth = createAuthClient({ issuer })
const keeper = new PasswordKeeper(takePassword())

/** When this page has asked for its own end, or another for it; null when nobody has that we know. */
let leaving: 'here' | number | null = null

const page: Page = {
  auth,
  feed: new StateFeed(),
  traffic: new Traffic(auth),
  password: () => keeper.ask(),
  expectEnd: (by) => {
    leaving = by
  },
}

function farewell(): string {
  if (leaving === 'here') return 'You have signed out, in all tabs of this browser.'
  const took = leaving === null ? '' : ` This tab noticed after ${since(leaving)} ms.`
  return `You were signed out from another tab or device.${took}`
}

function since(startMs: number): number {
  return Math.round(performance.now() - startMs)
}

function show(state: AuthState, before: AuthState['status']): void {
  const isIn = state.status === 'signed-in'
  document.documentElement.dataset.status = state.status
  byId('welcome').hidden = isIn
  byId('dashboard').hidden = !isIn
  byId('account').hidden = !isIn
  if (isIn) {
    setText(byId('session-id'), short(state.sessionId))
    if (before === 'signed-in') return
    leaving = null
    showFarewell(null)
    showUser()
    if (before === 'signed-out') byId('dashboard-title').focus()
  } else if (before === 'signed-in') {
    showFarewell(farewell())
    byId('welcome-title').focus()
  }
}

function showUser(): void {
  auth
    .user()
    .then((user) => setText(byId('user-name'), user?.username ?? ''))
    .catch(() => {})
}

function startAccount(): void {
  const signOut = byId('sign-out')
  signOut.addEventListener('click', () =>
    busyWhile(signOut, async () => {
      leaving = 'here'
      await auth.logout()
    }),
  )
  const everywhere = byId('sign-out-everywhere')
  everywhere.addEventListener('click', () =>
    busyWhile(everywhere, async () => {
      leaving = 'here'
      await auth.logoutEverywhere()
    }),
  )
}

startTheme()
startAccount()
startSignIn(page, keeper)
startTokenCard(page)
startLineCard(page)
startReplicasCard(page)
startNoneLeft(page)
startKeysCard(page)
startCartCard(page)
startDevicesCard(page)
startDrills(page)
startEventsCard(page)

let before = auth.state.status
auth.onChange((state) => {
  show(state, before)
  before = state.status
})
document.documentElement.dataset.status = 'unknown'
page.feed.ask()
auth
  .getAccessToken()
  .catch(() => notify('The issuer does not answer. Is it running?', 'bad'))
  .finally(() => show(auth.state, auth.state.status))
