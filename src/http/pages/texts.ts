import type { ErrorCode, GatepassError } from '../../core/errors.ts'

/** The texts of the pages in one language. */
export interface Texts {
  /** BCP 47. */
  readonly language: string
  readonly signIn: {
    readonly title: string
    to(client: string): string
    readonly username: string
    readonly password: string
    readonly submit: string
    readonly cancel: string
  }
  readonly consent: {
    title(client: string): string
    readonly intro: string
    signedInAs(name: string): string
    sentTo(target: string): string
    readonly allow: string
    readonly deny: string
    readonly switchUser: string
    /** Meanings of standard scopes (OpenID Connect Core §5.4, §11). */
    readonly scopes: Readonly<Record<string, string>>
  }
  readonly signOut: {
    readonly title: string
    readonly question: string
    readonly submit: string
    readonly doneTitle: string
    readonly done: string
  }
  readonly failure: {
    readonly title: string
    readonly goBack: string
    /** Links, instead of `goBack`. */
    readonly links: { readonly startAgain: string; readonly backToApplication: string }
    readonly reference: string
    /** Messages for people. */
    readonly byCode: { readonly [code in ErrorCode]?: string }
    readonly other: string
    tryAgainIn(time: string): string
  }
}

const english: Texts = {
  language: 'en',
  signIn: {
    title: 'Sign in',
    to: (client) => `to continue to ${client}`,
    username: 'User name',
    password: 'Password',
    submit: 'Sign in',
    cancel: 'Cancel',
  },
  consent: {
    title: (client) => `Allow ${client} to use your account?`,
    intro: 'It will be able to:',
    signedInAs: (name) => `You are signed in as ${name}.`,
    sentTo: (target) => `You will be sent to ${target}.`,
    allow: 'Allow',
    deny: 'Do not allow',
    switchUser: 'Use another account',
    scopes: {
      openid: 'know that it is you',
      profile: 'see your profile',
      email: 'see your e-mail address',
      phone: 'see your phone number',
      address: 'see your postal address',
      offline_access: 'keep access while you are away',
    },
  },
  signOut: {
    title: 'Sign out',
    question: 'Do you want to sign out?',
    submit: 'Sign out',
    doneTitle: 'You are signed out',
    done: 'You can close this page.',
  },
  failure: {
    title: 'This did not work',
    goBack: 'Go back to the application and start again.',
    links: { startAgain: 'Start again', backToApplication: 'Back to the application' },
    reference: 'Reference',
    byCode: {
      credentials_invalid: 'The user name or the password is wrong.',
      too_many_attempts: 'There were too many attempts.',
      client_unknown: 'The application is not known here.',
      grant_not_allowed: 'The application may not sign users in here.',
      redirect_uri_not_allowed: 'The application sent an address that is not registered.',
      request_uri_invalid: 'This sign-in has expired or was used before.',
      form_expired: 'This page has expired. If it happens again, allow the cookies of this site.',
      request_malformed: 'The application sent an invalid request.',
      origin_not_allowed: 'The request came from another site.',
      store_unavailable: 'The service is not available at the moment. Try again later.',
      overloaded: 'The service is busy at the moment. Try again later.',
    },
    other: 'Something went wrong.',
    tryAgainIn: (time) => `Try again in ${time}.`,
  },
}

const german: Texts = {
  language: 'de',
  signIn: {
    title: 'Anmelden',
    to: (client) => `weiter zu ${client}`,
    username: 'Benutzername',
    password: 'Passwort',
    submit: 'Anmelden',
    cancel: 'Abbrechen',
  },
  consent: {
    title: (client) => `Darf ${client} Ihr Konto verwenden?`,
    intro: 'Die Anwendung kann dann:',
    signedInAs: (name) => `Sie sind als ${name} angemeldet.`,
    sentTo: (target) => `Sie werden zu ${target} weitergeleitet.`,
    allow: 'Erlauben',
    deny: 'Nicht erlauben',
    switchUser: 'Anderes Konto verwenden',
    scopes: {
      openid: 'wissen, dass Sie es sind',
      profile: 'Ihr Profil sehen',
      email: 'Ihre E-Mail-Adresse sehen',
      phone: 'Ihre Telefonnummer sehen',
      address: 'Ihre Postanschrift sehen',
      offline_access: 'auch in Ihrer Abwesenheit zugreifen',
    },
  },
  signOut: {
    title: 'Abmelden',
    question: 'Möchten Sie sich abmelden?',
    submit: 'Abmelden',
    doneTitle: 'Sie sind abgemeldet',
    done: 'Sie können diese Seite schließen.',
  },
  failure: {
    title: 'Das hat nicht funktioniert',
    goBack: 'Gehen Sie zurück zur Anwendung und beginnen Sie von vorn.',
    links: { startAgain: 'Neu beginnen', backToApplication: 'Zurück zur Anwendung' },
    reference: 'Referenz',
    byCode: {
      credentials_invalid: 'Der Benutzername oder das Passwort ist falsch.',
      too_many_attempts: 'Es waren zu viele Versuche.',
      client_unknown: 'Die Anwendung ist hier nicht bekannt.',
      grant_not_allowed: 'Die Anwendung darf hier keine Benutzer anmelden.',
      redirect_uri_not_allowed: 'Die Anwendung hat eine nicht registrierte Adresse angegeben.',
      request_uri_invalid: 'Diese Anmeldung ist abgelaufen oder wurde schon verwendet.',
      form_expired:
        'Diese Seite ist abgelaufen. Wenn es wieder geschieht, erlauben Sie die Cookies dieser Website.',
      request_malformed: 'Die Anwendung hat eine fehlerhafte Anfrage gesendet.',
      origin_not_allowed: 'Die Anfrage kam von einer anderen Website.',
      store_unavailable:
        'Der Dienst ist zurzeit nicht verfügbar. Bitte versuchen Sie es später erneut.',
      overloaded: 'Der Dienst ist zurzeit ausgelastet. Bitte versuchen Sie es später erneut.',
    },
    other: 'Etwas ist schiefgegangen.',
    tryAgainIn: (time) => `Versuchen Sie es in ${time} erneut.`,
  },
}

const languages: ReadonlyMap<string, Texts> = new Map(
  [english, german].map((texts) => [texts.language, texts]),
)

/** The languages of the pages (`ui_locales_supported`). */
export const uiLocales: readonly string[] = [...languages.keys()]

/** Returns the message of an error. After too many attempts it says how long to wait: up to an hour. */
export function failureMessage(
  { language, failure }: Texts,
  { code, retryAfterSeconds }: Pick<GatepassError, 'code' | 'retryAfterSeconds'>,
): string {
  const message = failure.byCode[code] ?? failure.other
  if (code !== 'too_many_attempts' || retryAfterSeconds === undefined) return message
  const [unit, count] =
    retryAfterSeconds <= 60
      ? ['second', retryAfterSeconds]
      : ['minute', Math.ceil(retryAfterSeconds / 60)]
  const time = count.toLocaleString(language, { style: 'unit', unit, unitDisplay: 'long' })
  return `${message} ${failure.tryAgainIn(time)}`
}

/** More than a person reads; the rest of a longer header is ignored. */
const maxPreferences = 16

/**
 * Chooses the language of a page.
 *
 * @param requested `ui_locales` (OpenID Connect Core §3.1.2.1): space separated, best first
 * @param accepted the header `Accept-Language` (RFC 9110 §12.5.4)
 */
export function textsFor(requested: string | undefined, accepted: string | undefined): Texts {
  const wanted = [...(requested?.split(' ') ?? []).slice(0, maxPreferences), ...byWeight(accepted)]
  for (const tag of wanted) {
    const texts = languages.get(tag.split('-')[0]?.toLowerCase() ?? '')
    if (texts !== undefined) return texts
  }
  return english
}

function byWeight(header = ''): string[] {
  return header
    .split(',', maxPreferences)
    .map((part) => {
      const [tag = '', weight = 'q=1'] = part.split(';', 2).map((text) => text.trim())
      return { tag, weight: Number(weight.replace(/^q=/i, '')) }
    })
    .filter(({ weight }) => weight > 0)
    .sort((a, b) => b.weight - a.weight)
    .map(({ tag }) => tag)
}
