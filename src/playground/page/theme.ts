import { byId } from './dom.ts'

const themes = ['auto', 'light', 'dark'] as const
type Theme = (typeof themes)[number]

const names: Readonly<Record<Theme, string>> = {
  auto: 'Theme: as the system',
  light: 'Theme: light',
  dark: 'Theme: dark',
}
const storageName = 'gatepass playground theme'

/** The button that goes from theme to theme; the choice is kept. */
export function startTheme(): void {
  const toggle = byId('theme')
  let theme = themes.find((one) => one === localStorage.getItem(storageName)) ?? 'auto'
  const show = () => {
    document.documentElement.dataset.theme = theme
    toggle.setAttribute('aria-label', names[theme])
    toggle.title = names[theme]
  }
  toggle.addEventListener('click', () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length] ?? 'auto'
    localStorage.setItem(storageName, theme)
    show()
  })
  show()
}
