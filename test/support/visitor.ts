import type { InjectOptions } from 'fastify'
import { codeChallengeOf } from '../../src/oauth/authorization-codes.ts'
import { formatForm } from '../../src/oauth/form.ts'
import { issuerUrl, password, type TestIssuer } from './issuer.ts'
import { backend, redirectUri, type startOAuth } from './oauth.ts'

export const codeVerifier = 'a-code-verifier-of-at-least-forty-three-characters'

/** The parameters of a valid authorization request of the client `spa`. */
export const goodRequest: Readonly<Record<string, string>> = {
  response_type: 'code',
  client_id: 'spa',
  redirect_uri: redirectUri,
  code_challenge: codeChallengeOf(codeVerifier),
  code_challenge_method: 'S256',
  state: 'the state',
}

/** The token request for a code of `goodRequest`, without the code. */
export const redemption = {
  grant_type: 'authorization_code',
  client_id: 'spa',
  redirect_uri: redirectUri,
  code_verifier: codeVerifier,
}

type Fields = Readonly<Record<string, string>>

/** A response to the browser. */
export interface Visited {
  /** The address of the page, after the redirect that follows a form. */
  readonly url: string
  readonly status: number
  readonly html: string
  readonly headers: Readonly<Record<string, unknown>>
  /** The parameters of the redirect, if there is one. */
  readonly answer: Readonly<Record<string, string>> | null
  /** The address of the link of a failure page. */
  readonly failureLink: string | null
  /** The action and the fields of the form of the page. */
  readonly form: { readonly action: string; readonly fields: Fields } | null
}

/** A browser without JavaScript, with cookies and forms. */
export class Visitor {
  readonly #issuer: Pick<TestIssuer, 'call'>
  readonly cookies = new Map<string, string>()

  constructor(issuer: Pick<TestIssuer, 'call'>) {
    this.#issuer = issuer
  }

  /** Follows a link or a redirect of another site. */
  authorize(
    changes: Readonly<Record<string, string | undefined>> = {},
    headers: Fields = {},
  ): Promise<Visited> {
    return this.get(`/oauth/authorize?${formatForm({ ...goodRequest, ...changes })}`, headers)
  }

  get(url: string, headers: Fields = {}): Promise<Visited> {
    return this.#visit({ url, headers: { 'sec-fetch-site': 'cross-site', ...headers } })
  }

  /** Submits the form of a page. @param fields what the user enters */
  submit({ form }: Visited, fields: Fields, headers: Fields = {}): Promise<Visited> {
    if (form === null) throw new Error('the page has no form')
    return this.post(form.action, { ...form.fields, ...fields }, headers)
  }

  post(url: string, fields: Fields | URLSearchParams, headers: Fields = {}): Promise<Visited> {
    return this.#visit({
      method: 'POST',
      url,
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        origin: issuerUrl,
        'sec-fetch-site': 'same-origin',
        ...headers,
      },
      payload: new URLSearchParams(fields as Fields).toString(),
    })
  }

  signIn(page: Visited, fields: Fields = {}): Promise<Visited> {
    return this.submit(page, { username: 'ada', password, ...fields })
  }

  async #visit(request: InjectOptions): Promise<Visited> {
    const cookie = [...this.cookies].map((pair) => pair.join('=')).join('; ')
    const response = await this.#issuer.call({
      ...request,
      headers: { ...request.headers, ...(cookie && { cookie }) },
    })
    for (const { name, value, maxAge } of response.cookies) {
      if (maxAge === 0 || value === '') this.cookies.delete(name)
      else this.cookies.set(name, value)
    }
    const { location } = response.headers
    // A form is answered by a redirect to the next page.
    if (/^\/oauth\/(sign-in|consent)\?/.test(String(location))) return this.get(String(location))
    return {
      url: request.url as string,
      status: response.statusCode,
      html: response.payload,
      headers: response.headers,
      answer: location === undefined ? null : parametersOf(String(location)),
      failureLink: linkOf(response.payload),
      form: formOf(response.payload),
    }
  }
}

/** Signs a user in through the client `spa`, or `backend`, and returns the tokens. */
export async function signInThrough(
  issuer: Awaited<ReturnType<typeof startOAuth>>,
  visitor: Visitor,
  changes: Fields = {},
): Promise<Fields> {
  const page = await visitor.authorize({ scope: 'openid profile', ...changes })
  const { answer } = page.answer ? page : await visitor.signIn(page)
  const { client_id = 'spa' } = changes
  const { body } = await issuer.token(
    { ...redemption, client_id, code: answer?.code ?? '' },
    client_id === 'backend' ? backend : {},
  )
  return body
}

function parametersOf(url: string): Record<string, string> {
  const { origin, pathname, searchParams } = new URL(url, issuerUrl)
  return { url: `${origin}${pathname}`, ...Object.fromEntries(searchParams) }
}

function linkOf(page: string): string | null {
  const href = /<a class="button" href="([^"]*)"/.exec(page)?.[1]
  return href === undefined ? null : href.replaceAll('&#38;', '&')
}

function formOf(page: string): Visited['form'] {
  const action = /<form method="post" action="([^"]*)"/.exec(page)?.[1]
  if (action === undefined) return null
  const hidden = page.matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)"/g)
  return {
    action,
    fields: Object.fromEntries([...hidden].map(([, name = '', value = '']) => [name, value])),
  }
}
