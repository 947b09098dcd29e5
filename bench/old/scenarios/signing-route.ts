import type { ServerSpec } from '../harness/server.ts'

/**
 * The least that a refresh can be: a route that reads JSON and signs once.
 * @param answer with an access token of the same length
 */
export function signingSpec(answer: string): ServerSpec {
  const { access_token } = JSON.parse(answer) as { access_token: string }
  const signingInput = access_token.slice(0, access_token.lastIndexOf('.'))
  const module = new URL('../servers/sign.ts', import.meta.url)
  return { name: 'signing route', module, args: [signingInput] }
}
