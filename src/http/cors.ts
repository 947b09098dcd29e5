import cors from '@fastify/cors'
import type { FastifyInstance, FastifyReply } from 'fastify'
import type { OriginGuard } from './origin.ts'

const exposedHeaders = ['date', 'retry-after', 'www-authenticate']

/** Lets pages of these origins call with cookies. */
export function allowOrigins(app: FastifyInstance, origins: readonly string[]): void {
  if (origins.length === 0) return
  app.register(cors, {
    origin: [...origins],
    credentials: true,
    methods: ['GET', 'POST', 'DELETE'],
    allowedHeaders: ['authorization', 'content-type', 'dpop', 'idempotency-key'],
    exposedHeaders,
    maxAge: 600,
  })
}

/**
 * Answers the preflight of a page whose origin the route refuses, so that the page can read why. It is
 * told nothing else, and its requests carry no cookies: `*` is not for those.
 */
export function answerRefusedPreflights(app: FastifyInstance, url: string, origins: OriginGuard) {
  app.addHook('onRequest', (request, reply, done) => {
    const isRefused =
      request.method === 'OPTIONS' &&
      request.routeOptions.url === url &&
      request.headers['access-control-request-method'] !== undefined &&
      !origins.allows(request.raw)
    if (!isRefused) return done()
    letAnyPageRead(reply)
    reply.header('access-control-allow-methods', 'POST')
    reply.header('access-control-allow-headers', 'content-type, dpop')
    reply.code(204).send()
  })
}

/** Lets any page read an answer without its headers, to a request without cookies. */
export function letAnyPageRead(reply: FastifyReply): void {
  reply.removeHeader('access-control-allow-credentials')
  reply.removeHeader('access-control-expose-headers')
  reply.header('access-control-allow-origin', '*')
}
