/** The entry points of Gatepass that programs use, in any revision. */
interface Entries {
  verifier: typeof import('../../src/verifier/index.ts')
  fastify: typeof import('../../src/verifier/fastify.ts')
  express: typeof import('../../src/verifier/express.ts')
  data: typeof import('../../src/data/fastify.ts')
}

export type Verifier = ReturnType<Entries['verifier']['createVerifier']>

/** Their names, newest first: `compare` also measures revisions with the older names. */
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
