import cors from '@fastify/cors'
import type { FastifyInstance } from 'fastify'

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

/** The headers that an answer has by that, name and value in turn; a test compares the two. */
export function corsHeaders(origins: readonly string[]): (origin: string | undefined) => string[] {
  if (origins.length === 0) return () => []
  const toAll = [
    ['vary', 'Origin'],
    ['access-control-allow-credentials', 'true'],
    ['access-control-expose-headers', exposedHeaders.join(', ')],
  ].flat()
  const toOrigin = new Map(
    origins.map((origin) => [origin, [...toAll, 'access-control-allow-origin', origin]]),
  )
  return (origin) => toOrigin.get(origin ?? '') ?? toAll
}
