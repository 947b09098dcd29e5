import t from 'tap'
import { startVerifier } from '../support/data.ts'
import { startIssuer } from '../support/issuer.ts'
import { readProjectFile } from '../support/project.ts'
import { codeSpans, proseOf } from './documents.ts'

const document = proseOf(readProjectFile('docs/http-api.md'))

/** The headings that are about a route: `POST /login`, or `/verify` for any method. */
const headings = [...document.matchAll(/^### `(.+)`$/gm)].map(([, route = '']) => route)

interface OpenApi {
  readonly paths: Readonly<Record<string, Readonly<Record<string, unknown>>>>
  readonly components: {
    readonly securitySchemes: Readonly<Record<string, { readonly scheme?: string }>>
  }
}

/** The operations that a path of OpenAPI 3.1 may have (§4.8.9.1). */
const operationNames = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace']

/** Names the parts that OpenAPI 3.1 does not know: other operations, `bearerFormat` of other schemes. */
function unknownParts({ paths, components }: OpenApi): string[] {
  const operations = Object.values(paths).flatMap((path) => Object.keys(path))
  const schemes = Object.entries(components.securitySchemes)
    .filter(([, one]) => 'bearerFormat' in one && one.scheme !== 'bearer')
    .map(([name]) => name)
  return [...operations.filter((name) => !operationNames.includes(name)), ...schemes]
}

/** `POST /login` of an OpenAPI document; HEAD comes with GET and goes without saying. */
function routesOf({ paths }: OpenApi): string[] {
  return Object.entries(paths).flatMap(([path, operations]) => {
    const methods = Object.keys(operations).filter((method) => method !== 'head')
    return methods.length > 3 ? [path] : methods.map((one) => `${one.toUpperCase()} ${path}`)
  })
}

t.test('docs/http-api.md has a section for each route there is, and for no other', async (t) => {
  const issuer = await startIssuer(t)
  const verifier = await startVerifier(t)
  const ofIssuer = await issuer.call({ url: '/openapi.json' })
  const ofVerifier = await verifier.app.inject('/openapi.json')
  const routes = [...routesOf(ofIssuer.json()), ...routesOf(ofVerifier.json())]
  t.same([...headings].sort(), [...new Set(routes)].sort())
  for (const one of [ofIssuer, ofVerifier]) t.same(unknownParts(one.json()), [])
  const schemesOf = ({ components }: OpenApi) => Object.keys(components.securitySchemes)
  t.same(schemesOf(ofIssuer.json()), ['bearer', 'dpop', 'client', 'cookie'])
  t.same(schemesOf(ofVerifier.json()), ['bearer', 'dpop'])
})

t.test('the document names the routes of the admin port', async (t) => {
  const source = readProjectFile('src/http/admin-app.ts')
  const routes = [...source.matchAll(/app\.get\('(.+?)'/g)].map(([, url]) => `GET ${url}`)
  t.ok(routes.length > 0)
  const named = codeSpans(document)
  for (const route of routes) t.ok(named.includes(route), route)
})
