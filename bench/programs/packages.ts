import type { RequestHandler } from 'express'
import type { FastifyPluginAsync } from 'fastify'

/**
 * The parts of Gatepass that a program uses, by package name in any revision. The types are declared
 * here, because they differ between revisions.
 */

export interface Verifier {
  ready(): Promise<void>
  verify(token: string): Promise<unknown>
  verifySync(token: string): unknown
  status(): unknown
}

interface Entries {
  verifier: { createVerifier(options: object): Verifier }
  fastify: { readonly gatepassAuth: FastifyPluginAsync<object> }
  express: { requireToken(verifier: Verifier): RequestHandler }
  data: {
    readonly gatepassData: FastifyPluginAsync<Record<string, unknown>>
    dataOf(request: object, fields: object): { readonly session: SessionFields }
  }
}

interface SessionFields {
  get(field: string): Promise<unknown>
  update(field: string, change: (value: Record<string, number>) => unknown): Promise<unknown>
}

/** Names of the packages, newest first. */
const names: Readonly<Record<keyof Entries, readonly string[]>> = {
  verifier: ['@gatepass/verifier', 'gatepass'],
  fastify: ['@gatepass/verifier/fastify', 'gatepass/fastify'],
  express: ['@gatepass/verifier/express', 'gatepass/express'],
  data: ['@gatepass/session-data', 'gatepass/data'],
}

/** Imports an entry of the packages beside this program. */
export async function importGatepass<E extends keyof Entries>(entry: E): Promise<Entries[E]> {
  for (const name of names[entry]) {
    try {
      return await import(name)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error
    }
  }
  throw new Error(`none of ${names[entry].join(', ')} is installed`)
}
