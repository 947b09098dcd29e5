import { constants } from 'node:fs'
import { type FileHandle, open, rename, rm, utimes, writeFile } from 'node:fs/promises'
import { randomId } from '../../core/secrets.ts'
import { SingleFlight } from '../../core/single-flight.ts'
import { isJsonObject, parseStrictJson } from '../../tokens/strict-decoding.ts'
import { haveSameKeys, type KeySet, readKeySet } from './key-set.ts'
import { maxBodyBytes } from './published-keys.ts'

/** How old the file may be while its keys stay the same: it says when they were last confirmed. */
const rewriteAfterMs = 60_000
/** The permission to write of those who are neither its owner nor of its group. */
const writableByAnybody = 0o002

/** A set of keys, and when it came from its issuer. */
export interface KeptKeys {
  readonly set: KeySet
  readonly loadedAtMs: number
}

/** The member of the file that says whose keys these are (RFC 8414 §2). Other files lack it. */
const addressMember = 'jwks_uri'

/**
 * The last good JWK Set in a file, for a replica that starts while the issuer is away. The time at
 * which the file was written is the time at which its keys were loaded. It may as well be put there
 * by other means, on a file system that is read only.
 */
export class KeyFile {
  readonly #path: string
  readonly #jwksUri: string
  readonly #writing = new SingleFlight(() => this.#writeAll())
  #readError: string | null = null
  #written: KeptKeys | null = null
  #wanted: KeptKeys | null = null

  /** @param jwksUri the keys of another address in the file are refused */
  constructor(path: string, jwksUri: string) {
    this.#path = path
    this.#jwksUri = jwksUri
  }

  /** What went wrong the last time; null if nothing did. */
  get lastError(): string | null {
    const { lastError } = this.#writing
    return lastError === null ? this.#readError : `it cannot be written: ${reasonOf(lastError)}`
  }

  /** The set in the file; null if there is none, or none that can be trusted: see `lastError`. */
  async read(): Promise<KeptKeys | null> {
    try {
      const kept = await readKeptKeys(this.#path, this.#jwksUri)
      this.#readError = null
      return kept
    } catch (error) {
      this.#readError = `it cannot be read: ${reasonOf(error)}`
      return null
    }
  }

  /** Has a set written in the background. One that comes meanwhile is written after it. */
  keep(set: KeySet, loadedAtMs: number): void {
    const last = this.#written
    const isOld = last === null || loadedAtMs - last.loadedAtMs >= rewriteAfterMs
    if (!isOld && haveSameKeys(last.set, set)) return
    this.#wanted = { set, loadedAtMs }
    void this.#writing.run()
  }

  /** Resolves when all is written. */
  settled(): Promise<void> {
    return this.#writing.settled()
  }

  async #writeAll(): Promise<void> {
    while (this.#wanted !== null) {
      const wanted = this.#wanted
      this.#wanted = null
      await replaceFile(this.#path, jwksText(this.#jwksUri, wanted.set), wanted.loadedAtMs)
      this.#written = wanted
      this.#readError = null
    }
  }
}

async function readKeptKeys(path: string, jwksUri: string): Promise<KeptKeys> {
  // Not blocking: to open a pipe would wait for its other end.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const stats = await file.stat()
    if (!stats.isFile()) throw new Error('it is not a file')
    if ((stats.mode & writableByAnybody) !== 0) throw new Error('anybody may write it')
    const jwks = parseStrictJson(await readCapped(file))
    if (jwks === undefined) throw new Error('it is not acceptable JSON')
    const address = isJsonObject(jwks) ? jwks[addressMember] : undefined
    if (address !== undefined && address !== jwksUri) throw new Error('it is of another address')
    return { set: readKeySet(jwks), loadedAtMs: stats.mtimeMs }
  } finally {
    await file.close()
  }
}

async function readCapped(file: FileHandle): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(maxBodyBytes + 1), 0, maxBodyBytes + 1)
  if (bytesRead > maxBodyBytes) throw new Error(`it is longer than ${maxBodyBytes} bytes`)
  return buffer.subarray(0, bytesRead)
}

/** The keys that are in use, and of each what was checked. */
function jwksText(jwksUri: string, set: KeySet): string {
  const keys = set.keys.map(({ jwk }) => ({ ...jwk, use: 'sig' }))
  return `${JSON.stringify({ [addressMember]: jwksUri, keys }, null, 2)}\n`
}

/** In one step, so that no reader ever meets half a file. */
async function replaceFile(path: string, text: string, writtenAtMs: number): Promise<void> {
  const temporary = `${path}.${randomId()}.tmp`
  try {
    await writeFile(temporary, text, { flag: 'wx', mode: 0o644, flush: true })
    await utimes(temporary, writtenAtMs / 1000, writtenAtMs / 1000)
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {})
    throw error
  }
}

/** The code of an error of the file system, whose message has the path in it, or else the message. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'of an unknown error'
  return 'code' in error && typeof error.code === 'string' ? error.code : error.message
}
