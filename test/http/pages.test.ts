import t from 'tap'
import { consentPage, failurePage, html, signInPage } from '../../src/http/pages/page.ts'
import { failureMessage, textsFor } from '../../src/http/pages/texts.ts'
import { readProjectFile } from '../support/project.ts'

const paths = {
  style: '/s',
  icon: '/i',
  signIn: '/sign-in',
  consent: '/consent',
  signOut: '/logout',
}
const frame = { texts: textsFor(undefined, undefined), paths, host: 'auth.example.com' }
const attack = `"'><script>alert(1)</script>&\``

t.test('every value in a template is escaped', async (t) => {
  t.equal(html`<p title="${attack}">${1}${null}${false}</p>`.text.includes('<script'), false)
  t.equal(html`${[html`<b>`, html`${'<'}`]}`.text, '<b>&#60;')
})

t.test('nothing that a stranger sends becomes markup', async (t) => {
  const pages = [
    signInPage(frame, {
      client: attack,
      username: attack,
      failure: attack,
      interaction: attack,
      isWrong: true,
    }),
    consentPage(frame, {
      client: attack,
      username: attack,
      interaction: attack,
      redirectTarget: attack,
      scopes: [{ name: attack, attributes: [attack] }],
    }),
    failurePage(frame, {
      message: attack,
      link: { text: 'startAgain', url: `/oauth/authorize?state=${attack}` },
      code: attack,
      requestId: attack,
    }),
  ]
  for (const page of pages) {
    t.notMatch(page, /<script|onerror|style=/)
    t.equal(page.split('alert(1)').length > 3, true)
  }
})

t.test('the direction of a name does not affect the text around it', async (t) => {
  const name = 'חנות \u202E12'
  const state = { client: name, username: name, interaction: 'x' }
  t.match(
    signInPage(frame, { ...state, failure: null, isWrong: false }),
    `to continue to <bdi>${name}</bdi><`,
  )
  const consent = consentPage(frame, { ...state, redirectTarget: 'a.example', scopes: [] })
  t.match(consent, `<h1>Allow <bdi>${name}</bdi> to use your account?</h1>`)
  t.match(consent, `You are signed in as <bdi>${name}</bdi>. You will be sent to a.example.`)
})

t.test('texts have the size that the user has set in the browser', async (t) => {
  for (const file of ['http/pages/style', 'playground/page/base', 'playground/page/cards']) {
    const css = readProjectFile(`src/${file}.css`)
    t.notMatch(css, /\sfont(-size)?:[^;]*?\dpx/, file)
  }
})

t.test('the fields of a sign-in that failed are described by the failure', async (t) => {
  const form = { client: 'Shop', username: 'ada', interaction: 'x' }
  const page = (failure: string | null, isWrong: boolean) =>
    signInPage(frame, { ...form, failure, isWrong })
  const described = /autofocus(?: aria-invalid="true")? aria-describedby="failure">/
  t.match(page('The password is wrong.', true), described)
  t.match(page('Try again later.', false), described)
  t.notMatch(page('Try again later.', false), 'aria-invalid')
  t.notMatch(page(null, false), 'aria-')
})

t.test('after too many attempts the page says how long to wait', async (t) => {
  const cases = [
    ['en', 1, 'There were too many attempts. Try again in 1 second.'],
    ['en', 60, 'There were too many attempts. Try again in 60 seconds.'],
    ['de', 61, 'Es waren zu viele Versuche. Versuchen Sie es in 2 Minuten erneut.'],
    ['de', 3_600, 'Es waren zu viele Versuche. Versuchen Sie es in 60 Minuten erneut.'],
  ] as const
  for (const [language, retryAfterSeconds, message] of cases) {
    const error = { code: 'too_many_attempts', retryAfterSeconds } as const
    t.equal(failureMessage(textsFor(language, undefined), error), message)
  }
})

t.test('a browser without light-dark() shows the light colours', async (t) => {
  const css = readProjectFile('src/http/pages/common.css')
  const [both = '', light = ''] = css.split('@supports not (color: light-dark(')
  const valuesOf = (text: string) =>
    [...text.matchAll(/(--[\w-]+):\s*([^;]+);/g)].map(([, name, value = '']) => {
      const chosen = value.replace(/light-dark\(([^,]+), (?:rgb\([^)]+\)|[^)]+)\)/g, '$1')
      return `${name}: ${chosen.replace(/\s+/g, ' ')}`
    })
  t.same(valuesOf(light), valuesOf(both))
  t.equal(valuesOf(light).length, 12)
})

t.test('the language: as the client asks, else as the browser does, else English', async (t) => {
  const cases = [
    [undefined, undefined, 'en'],
    ['de', undefined, 'de'],
    ['fr de-AT en', undefined, 'de'],
    ['fr', 'de', 'de'],
    [undefined, 'fr-CH, fr;q=0.9, en;q=0.8, de;q=0.7, *;q=0.5', 'en'],
    [undefined, 'en;q=0.1,DE', 'de'],
    [undefined, 'de;q=0,en', 'en'],
    [undefined, ',;q=;;,', 'en'],
    [undefined, 'en ; Q=0.5,\tde ;q=0.6', 'de'],
    [undefined, 'de;level=1,en', 'en'],
    ['__proto__ constructor', 'x'.repeat(10_000), 'en'],
  ] as const
  for (const [requested, accepted, language] of cases) {
    t.equal(textsFor(requested, accepted).language, language, `${requested} ${accepted}`)
  }
  // A pattern that tries each of the spaces as its start would take minutes.
  t.equal(textsFor(undefined, `a${' '.repeat(1_000_000)}b,de`).language, 'de')
})
