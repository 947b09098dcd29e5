import { argon2Sync, scryptSync } from 'node:crypto'
import { getPriority, setPriority } from 'node:os'
import { hashSync } from 'bcryptjs'
import {
  type Argon2idParameters,
  type BcryptParameters,
  type HashParameters,
  parsePasswordHash,
  type ScryptParameters,
} from './password-hash.ts'

/** The program of a hashing process: it receives batches of jobs and replies to each. */

export interface HashJob {
  readonly password: Uint8Array
  readonly parameters: HashParameters
  readonly digestBytes: number
}

/** The reply to one job: the digest, or the text of an error. */
export type HashReply = Uint8Array | string

/**
 * How much lower the priority of hashing is than that of the issuer, so that refreshes and verifications
 * stay fast under a login storm. A busy core still gives it about a tenth of the time of another process,
 * so that users can sign in.
 */
const niceness = 10
const maxNiceness = 19

function derive({ password, parameters, digestBytes }: HashJob): Uint8Array {
  switch (parameters.scheme) {
    case 'argon2id':
      return deriveArgon2id(password, parameters, digestBytes)
    case 'scrypt':
      return deriveScrypt(password, parameters, digestBytes)
    case 'bcrypt':
      return deriveBcrypt(password, parameters)
  }
}

function deriveArgon2id(password: Uint8Array, parameters: Argon2idParameters, tagLength: number) {
  const { memoryKib, passes, parallelism, salt } = parameters
  return argon2Sync('argon2id', {
    message: password,
    nonce: salt,
    tagLength,
    memory: memoryKib,
    passes,
    parallelism,
  })
}

function deriveScrypt(password: Uint8Array, parameters: ScryptParameters, digestBytes: number) {
  const { log2Cost, blockSize, parallelism, salt } = parameters
  const cost = 2 ** log2Cost
  // The exact memory of the algorithm: by default Node refuses more than 32 MiB.
  const maxmem = 128 * blockSize * (cost + parallelism + 2)
  return scryptSync(password, salt, digestBytes, {
    cost,
    blockSize,
    parallelization: parallelism,
    maxmem,
  })
}

function deriveBcrypt(password: Uint8Array, { settings }: BcryptParameters) {
  return parsePasswordHash(hashSync(Buffer.from(password).toString(), settings)).digest
}

function reply(job: HashJob): HashReply {
  try {
    return derive(job)
  } catch (error) {
    return String(error)
  }
}

try {
  setPriority(Math.min(getPriority() + niceness, maxNiceness))
} catch {
  // A sandbox may forbid a change of the priority, which does not affect the hashes.
}

// Ctrl-C at a terminal, a service manager, or a terminal that closes signals parent and child together.
// The child exits with its parent, after its jobs.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})
process.on('disconnect', () => process.exit())
process.on('message', (jobs: HashJob[]) => {
  // The callback ignores the error if the parent has exited, because nobody reads the reply.
  process.send?.(jobs.map(reply), () => {})
})
