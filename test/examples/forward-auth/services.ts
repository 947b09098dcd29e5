import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import express from 'express'
import Fastify from 'fastify'
import type { Test } from 'tap'
import { headersLike } from './client.ts'

/** A place of a service: open to all, behind a token, or behind the scope `reports:read`. */
export type Place = 'public' | 'guarded' | 'reports'

/** The response of a service: its reading of the path, and the caller in the headers. */
export interface ServiceAnswer {
  readonly place: Place
  readonly subject: string | undefined
  readonly scope: string | undefined
}

/** Services by name. */
export type Services = Readonly<Record<string, RequestListener>>

/** The places of each service, as routes of Fastify. */
const places: readonly (readonly [path: string, place: Place])[] = [
  ['/public/*', 'public'],
  ['/reports', 'reports'],
  ['/reports/*', 'reports'],
  ['/secret', 'guarded'],
  ['/users/:user/orders', 'guarded'],
  ['/:tenant/orders', 'guarded'],
  ['/orders/:order', 'guarded'],
]

/** The same places for services that compare the text of a path. */
const patterns = places.map(([path, place]) => {
  const pattern = path.replace('*', '.*').replaceAll(/:\w+/g, '[^/]+')
  return [new RegExp(`^${pattern}$`), place] as const
})

function answerOf(place: Place, rawHeaders: readonly string[]): ServiceAnswer {
  const identity = Object.fromEntries(headersLike(rawHeaders, 'x-auth'))
  return { place, subject: identity['x-auth-subject'], scope: identity['x-auth-scope'] }
}

/** A service on node:http that reads the path of a request target in its own way. */
function plainService(pathOf: (target: string) => string): RequestListener {
  return ({ url = '', rawHeaders }, response) => {
    const place = findPlace(pathOf, url)
    if (place === undefined) response.writeHead(404).end('{}')
    else response.end(JSON.stringify(answerOf(place, rawHeaders)))
  }
}

function findPlace(pathOf: (target: string) => string, target: string): Place | undefined {
  try {
    const path = pathOf(target)
    return patterns.find(([pattern]) => pattern.test(path))?.[1]
  } catch {
    return undefined
  }
}

/** Decodes twice and takes off whatever some framework takes off: parameters, spaces, extensions. */
function pathReadLeniently(target: string): string {
  const decoded = decodeURIComponent(decodeURIComponent(target)).normalize('NFKC')
  const { pathname } = new URL(decoded, 'http://service')
  const segments = decodeURIComponent(pathname).split(/[\\/]+/)
  const plain = segments.map((one) => one.replace(/;.*| +$|(?<=\w)[.(:].*/, ''))
  return new URL(plain.join('/'), 'http://service').pathname
}

async function fastifyService(t: Test, routerOptions: object): Promise<RequestListener> {
  const app = Fastify({ routerOptions })
  for (const [path, place] of places) {
    app.get(path, ({ raw }) => answerOf(place, raw.rawHeaders))
  }
  await app.ready()
  t.teardown(() => app.close())
  return (request, response) => app.routing(request, response)
}

function expressService(): RequestListener {
  const app = express()
  for (const [path, place] of places) {
    app.get(path.replace('*', '*rest'), (request: IncomingMessage, response: ServerResponse) => {
      response.end(JSON.stringify(answerOf(place, request.rawHeaders)))
    })
  }
  return app
}

/** Services with the same places, each of which reads a path in its own way. */
export async function startServices(t: Test): Promise<Services> {
  return {
    Fastify: await fastifyService(t, {}),
    'Fastify that forgives': await fastifyService(t, {
      caseSensitive: false,
      useSemicolonDelimiter: true,
      ignoreTrailingSlash: true,
      ignoreDuplicateSlashes: true,
    }),
    Express: expressService(),
    'node:http with URL': plainService((target) => new URL(target, 'http://service').pathname),
    'one that decodes twice': plainService(pathReadLeniently),
    'one that ignores case': plainService((target) => pathReadLeniently(target).toLowerCase()),
  }
}
