import { browser } from '../../browser/platform.ts'
import { startCartCard } from './cart-card.ts'
import { startDevicesCard } from './devices-card.ts'
import { byId, notify } from './dom.ts'
import { startEventsCard, startKeysCard, startThirdPartyCard } from './issuer-cards.ts'
import { Page } from './page.ts'
import { startReplicasCard } from './replicas-card.ts'
import { startScenarios } from './scenarios.ts'
import { showAuthState, startAccount, startSignIn } from './sign-in.ts'
import { startAccessTokenCard, startRefreshTokenCard } from './token-cards.ts'

const page = new Page()
const { auth } = page

startTheme()
startAccount(page)
startSignIn(page)
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
  showAuthState(page, state, before)
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
  .finally(() => showAuthState(page, auth.state, auth.state))

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
