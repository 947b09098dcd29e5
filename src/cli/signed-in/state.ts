import { constants, mkdirSync, type Stats, statSync } from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { z } from 'zod'
import { GatepassError } from '../../core/errors.ts'
import { randomId } from '../../core/secrets.ts'
import { withFileLock } from '../../stores/sqlite/file-lock.ts'
import type { CliContext } from '../context.ts'

const stateSchema = z.object({
  issuer: z.string(),
  username: z.string(),
  session_id: z.string(),
  refresh_token: z.string(),
  access_token: z.string(),
  /** By the clock of this machine, in milliseconds. */
  obtained_at_ms: z.number(),
  expires_at_ms: z.number(),
  /** Of a refresh that was sent and has not been answered yet. */
  idempotency_key: z.string().nullable(),
})

/** Who is signed in from this machine, and by which tokens. */
export type SignedIn = z.infer<typeof stateSchema>

/** A refresh takes a few seconds at most; it has a deadline of 30. */
const lockWaitMs = 40_000
const bytesMax = 64 * 1024
const accessOfOthers = 0o077
const writeOfOthers = 0o022

/** The file that keeps a sign-in at one issuer: of its owner alone, and always replaced whole. */
export class StateFile {
  readonly path: string
  readonly #folder: string

  constructor({ env }: Pick<CliContext, 'env'>, issuer: string) {
    this.#folder = stateFolder(env)
    this.path = join(this.#folder, `${encodeURIComponent(issuer)}.json`)
  }

  /**
   * @returns null if nobody is signed in
   * @throws `config_invalid` for a file that is damaged, of another user, or open to others
   */
  async read(): Promise<SignedIn | null> {
    const text = await readOwn(this.path)
    if (text === null) return null
    try {
      return stateSchema.parse(JSON.parse(text))
    } catch {
      // The reason would quote the file.
      throw refusal(`${this.path} is damaged. Delete it, and sign in again.`)
    }
  }

  /** In one step, and on the disk when it resolves. */
  async write(state: SignedIn): Promise<void> {
    const temporary = `${this.path}.${randomId()}.tmp`
    try {
      const file = await open(temporary, 'wx', 0o600)
      try {
        await file.writeFile(`${JSON.stringify(state, null, 2)}\n`)
        await file.sync()
      } finally {
        await file.close()
      }
      await rename(temporary, this.path)
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => {})
      throw error
    }
  }

  async remove(): Promise<void> {
    await rm(this.path, { force: true })
  }

  /**
   * Keeps the other terminals of this user out while `work` runs.
   * @throws `config_invalid` for a folder of another user, or that others may write to
   */
  async locked<T>(work: () => Promise<T>): Promise<T> {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
    const stats = statSync(this.#folder)
    refuseForeign(this.#folder, stats)
    if ((stats.mode & writeOfOthers) !== 0) {
      throw refusal(`Others may write to ${this.#folder}. Run: chmod 700 '${this.#folder}'`)
    }
    return withFileLock(`${this.path}.lock`, lockWaitMs, work)
  }
}

/** As the XDG Base Directory Specification has it: a relative path there does not count. */
function stateFolder(env: CliContext['env']): string {
  const { XDG_STATE_HOME: given = '', HOME: home = homedir() } = env
  return join(isAbsolute(given) ? given : join(home, '.local', 'state'), 'gatepass')
}

async function readOwn(path: string): Promise<string | null> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((error) => {
    if (error.code === 'ENOENT') return null
    throw error
  })
  if (file === null) return null
  try {
    const stats = await file.stat()
    refuseForeign(path, stats)
    if (!stats.isFile() || (stats.mode & accessOfOthers) !== 0) {
      throw refusal(`Others may read ${path}. Run: chmod 600 '${path}'`)
    }
    const { buffer, bytesRead } = await file.read(Buffer.alloc(bytesMax), 0, bytesMax)
    return buffer.toString('utf8', 0, bytesRead)
  } finally {
    await file.close()
  }
}

/** Another user who owns the file knows its tokens, or has put in tokens of their own choice. */
function refuseForeign(path: string, { uid }: Stats): void {
  // Windows has no owners of this kind.
  if (process.geteuid === undefined || uid === process.geteuid()) return
  throw refusal(
    `${path} belongs to another user. Run gatepass as that user, or delete it and sign in again.`,
  )
}

function refusal(detail: string): GatepassError {
  return new GatepassError('config_invalid', { detail })
}
