import type { Texts } from './texts.ts'

/** HTML that is safe to send: every value in it was escaped. */
class Html {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

type Value = string | number | Html | readonly Html[] | null | false

/** Makes HTML of a template. Each value is escaped, unless it is HTML itself. */
export function html(strings: TemplateStringsArray, ...values: readonly Value[]): Html {
  return new Html(String.raw({ raw: strings }, ...values.map(toText)))
}

function toText(value: Value): string {
  if (value === null || value === false) return ''
  if (value instanceof Html) return value.text
  if (typeof value === 'object') return value.map(({ text }) => text).join('')
  return String(value).replaceAll(/[&<>"'`]/g, (character) => `&#${character.charCodeAt(0)};`)
}

/** Makes HTML of a text with a name. The direction of the name does not affect the text around it. */
function withName(text: (name: string) => string, name: string): Html {
  const [before = '', after = ''] = text('\0').split('\0')
  return html`${before}<bdi>${name}</bdi>${after}`
}

/** Paths of the pages, below the path of the issuer. */
export interface PagePaths {
  readonly style: string
  readonly icon: string
  readonly signIn: string
  readonly consent: string
  readonly signOut: string
}

/** The parts that all pages share. */
export interface PageFrame {
  readonly texts: Texts
  readonly paths: PagePaths
  /** The host of the issuer, which people know from the address bar. */
  readonly host: string
}

/** A whole page. It has no script, no inline style, and nothing of another site. */
function page({ texts, paths, host }: PageFrame, title: string, content: Html): string {
  return html`<!doctype html>
<html lang="${texts.language}">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <meta name="robots" content="noindex">
    <title>${title} &middot; ${host}</title>
    <link rel="icon" href="${paths.icon}" type="image/svg+xml">
    <link rel="stylesheet" href="${paths.style}">
  </head>
  <body>
    <header>
      <img src="${paths.icon}" alt="" width="32" height="32">
      <span>${host}</span>
    </header>
    <main class="card">
${content}
    </main>
  </body>
</html>
`.text
}

/** The form of an interaction. */
export interface FormState {
  /** The encrypted text that `InteractionCodec` reads. */
  readonly interaction: string
}

export interface SignInForm extends FormState {
  readonly client: string
  readonly username: string
  /** Why the last attempt failed. */
  readonly failure: string | null
  /** Whether it failed because of what the user typed. */
  readonly isWrong: boolean
}

export function signInPage(frame: PageFrame, form: SignInForm): string {
  const { signIn } = frame.texts
  const { client, username, failure, isWrong } = form
  const invalid = isWrong && new Html(' aria-invalid="true"')
  const state = html`${invalid}${failure !== null && describedByFailure}`
  const [onName, onPassword] = username === '' ? [autofocus, ''] : ['', autofocus]
  const content = html`
      <h1>${signIn.title}</h1>
      <p class="soft">${withName(signIn.to, client)}</p>
      ${failure !== null && html`<p id="failure" class="failure" role="alert">${failure}</p>`}
      <form method="post" action="${frame.paths.signIn}">
        <input type="hidden" name="interaction" value="${form.interaction}">
        <label for="username">${signIn.username}</label>
        <input id="username" name="username" value="${username}" autocomplete="username" autocapitalize="none" spellcheck="false" maxlength="254" required${onName}${state}>
        <label for="password">${signIn.password}</label>
        <input id="password" name="password" type="password" autocomplete="current-password" maxlength="1024" required${onPassword}${state}>
        <button name="decision" value="sign_in">${signIn.submit}</button>
        <button name="decision" value="cancel" class="secondary" formnovalidate>${signIn.cancel}</button>
      </form>`
  return page(frame, signIn.title, content)
}

const autofocus = new Html(' autofocus')
/** A screen reader that reads the focused field of a new page reads the failure, too. */
const describedByFailure = new Html(' aria-describedby="failure"')

export interface ConsentForm extends FormState {
  readonly client: string
  readonly username: string
  /** Each scope that is asked for, with the attributes that it makes readable. */
  readonly scopes: readonly { readonly name: string; readonly attributes: readonly string[] }[]
  /** The host, or the scheme of an app, to which the user is sent. */
  readonly redirectTarget: string
}

export function consentPage(frame: PageFrame, form: ConsentForm): string {
  const { consent } = frame.texts
  const scopes = form.scopes.map(({ name, attributes }) => {
    const known = Object.hasOwn(consent.scopes, name) ? consent.scopes[name] : undefined
    const words = known === undefined ? html`<code>${name}</code>` : html`${known}`
    const claims =
      attributes.length > 0 && html` <span class="soft">(${attributes.join(', ')})</span>`
    return html`
        <li>${words}${claims}</li>`
  })
  const content = html`
      <h1>${withName(consent.title, form.client)}</h1>
      <p class="soft">${withName(consent.signedInAs, form.username)} ${consent.sentTo(form.redirectTarget)}</p>
      <p>${consent.intro}</p>
      <ul>${scopes}
      </ul>
      <form method="post" action="${frame.paths.consent}">
        <input type="hidden" name="interaction" value="${form.interaction}">
        <button name="decision" value="allow">${consent.allow}</button>
        <button name="decision" value="deny" class="secondary">${consent.deny}</button>
        <button name="decision" value="switch_user" class="link">${consent.switchUser}</button>
      </form>`
  return page(frame, consent.title(form.client), content)
}

/** Asks whether to sign out (OpenID Connect RP-Initiated Logout §2). */
export function signOutPage(frame: PageFrame, form: FormState): string {
  const { signOut } = frame.texts
  const content = html`
      <h1>${signOut.title}</h1>
      <p>${signOut.question}</p>
      <form method="post" action="${frame.paths.signOut}">
        <input type="hidden" name="interaction" value="${form.interaction}">
        <button name="decision" value="sign_out">${signOut.submit}</button>
      </form>`
  return page(frame, signOut.title, content)
}

export function signedOutPage(frame: PageFrame): string {
  const { signOut } = frame.texts
  const content = html`
      <h1>${signOut.doneTitle}</h1>
      <p>${signOut.done}</p>`
  return page(frame, signOut.doneTitle, content)
}

/** How the user goes on after a failure. */
export interface FailureLink {
  readonly text: keyof Texts['failure']['links']
  readonly url: string
}

export interface FailureDetails {
  readonly message: string
  /** Null if the user can only go back to the application. */
  readonly link: FailureLink | null
  readonly code: string
  readonly requestId: string
}

export function failurePage(
  frame: PageFrame,
  { message, link, code, requestId }: FailureDetails,
): string {
  const { failure } = frame.texts
  const content = html`
      <h1>${failure.title}</h1>
      <p class="failure" role="alert">${message}</p>
      ${link === null ? html`<p>${failure.goBack}</p>` : html`<a class="button" href="${link.url}">${failure.links[link.text]}</a>`}
      <p class="soft small">${failure.reference}: <code>${code}</code> <code>${requestId}</code></p>`
  return page(frame, failure.title, content)
}
