import type { ServerSpec } from '../harness/server.ts'

/** A Fastify route that answers everything with the same text. */
export function bareSpec(body: string): ServerSpec {
  return {
    name: 'bare route',
    module: new URL('../servers/bare.ts', import.meta.url),
    args: [body],
  }
}
