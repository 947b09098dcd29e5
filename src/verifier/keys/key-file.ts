import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { replaceFile } from '../../core/files.ts'
import { SingleFlight } from '../../core/single-flight.ts'
import {
  isJsonObject,
  parseStrictJson,
  withoutByteOrderMark,
} from '../../tokens/strict-decoding.ts'
import { haveSameKeys, type KeySet, maxKeySetBytes, readKeySet } from './key-source.ts'

/** An unchanged set is written again after this time: the file's time says when it was confirmed. */
const rewriteAfterMs = 60_000
/** Mode bit for write permission of other users. Windows reports it for every file. */
const writableByOthers = process.platform === 'win32' ? 0 : 0o002

/** A key set, and when it was fetched from its issuer. */
export interface StoredKeys {
  readonly set: KeySet
  readonly loadedAtMs: number
}

/** Member of the file that names the address of the keys (RFC 8414 §2). Optional. */
const addressMember = 'jwks_uri'

/**
 * Keeps the last good JWK Set in a file, for a replica that starts while the issuer is unavailable.
 * The modification time of the file is the time at which its keys were fetched. The file may also be
 * provided by other means, on a read-only file system.
 */
export class KeyFile {
  readonly #path: string
  readonly #jwksUri: string
  readonly #writing = new SingleFlight(() => this.#writePending())
  #readError: string | null = null
  #written: StoredKeys | null = null
  #pending: StoredKeys | null = null

  /** @param jwksUri a file with the keys of another address is refused */
  constructor(path: string, jwksUri: string) {
    this.#path = path
    this.#jwksUri = jwksUri
  }

  /** Why the last read or write failed; null if it succeeded. */
  get lastError(): string | null {
    const { lastError } = this.#writing
    return lastError === null ? this.#readError : `it cannot be written: ${reasonOf(lastError)}`
  }

  /** Reads the set; null if there is none, or none that can be trusted: see `lastError`. */
  async read(): Promise<StoredKeys | null> {
    try {
      const stored = await readKeyFile(this.#path, this.#jwksUri)
      this.#readError = null
      return stored
    } catch (error) {
      this.#readError = `it cannot be read: ${reasonOf(error)}`
      return null
    }
  }

  /** Writes a set in the background, after any write that runs. */
  write(set: KeySet, loadedAtMs: number): void {
    const last = this.#written
    // The difference is negative after the clock was set back.
    const isOld = last === null || Math.abs(loadedAtMs - last.loadedAtMs) >= rewriteAfterMs
    if (!isOld && haveSameKeys(last.set, set)) return
    this.#pending = { set, loadedAtMs }
    void this.#writing.run()
  }

  /** Resolves when the pending writes are done. */
  settled(): Promise<void> {
    return this.#writing.settled()
  }

  async #writePending(): Promise<void> {
    while (this.#pending !== null) {
      const pending = this.#pending
      this.#pending = null
      const text = jwksText(this.#jwksUri, pending.set)
      await replaceFile(this.#path, text, 0o644, pending.loadedAtMs)
      this.#written = pending
      this.#readError = null
    }
  }
}

async function readKeyFile(path: string, jwksUri: string): Promise<StoredKeys> {
  // O_NONBLOCK: opening a pipe would wait for its other end.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const stats = await file.stat()
    if (!stats.isFile()) throw new Error('it is not a file')
    if ((stats.mode & writableByOthers) !== 0) throw new Error('other users can write it')
    const jwks = parseStrictJson(withoutByteOrderMark(await readCapped(file)))
    if (jwks === undefined) throw new Error('it is not acceptable JSON')
    const address = isJsonObject(jwks) ? jwks[addressMember] : undefined
    if (address !== undefined && address !== jwksUri)
      throw new Error('its keys are of another address')
    return { set: readKeySet(jwks), loadedAtMs: stats.mtimeMs }
  } finally {
    await file.close()
  }
}

async function readCapped(file: FileHandle): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(
    Buffer.alloc(maxKeySetBytes + 1),
    0,
    maxKeySetBytes + 1,
  )
  if (bytesRead > maxKeySetBytes) throw new Error(`it is longer than ${maxKeySetBytes} bytes`)
  return buffer.subarray(0, bytesRead)
}

/** Serializes the usable keys, with the members that were checked. */
function jwksText(jwksUri: string, set: KeySet): string {
  const keys = set.keys.map(({ jwk }) => ({ ...jwk, use: 'sig' }))
  return `${JSON.stringify({ [addressMember]: jwksUri, keys }, null, 2)}\n`
}

/** The code of a file system error, because its message quotes the path; else the message. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'of an unknown error'
  return 'code' in error && typeof error.code === 'string' ? error.code : error.message
}
