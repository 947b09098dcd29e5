import { chmod, type FileHandle, link, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { GatepassError } from '../core/errors.ts'
import { createFolder, nullIfAbsent, syncFolder } from '../core/files.ts'
import { randomId } from '../core/secrets.ts'
import { isPostgres } from '../stores/open-stores.ts'
import { storeUnavailable } from '../stores/store-errors.ts'
import { keyNamePattern, type StoredKey } from './key-record.ts'

/**
 * The store of signing keys that the replicas of an issuer share: texts by name.
 *
 * The store never sees the secret that encrypts the keys (`EncryptedKeyStore`).
 */
export interface KeyStore {
  /**
   * Lists all texts, in no order.
   * @throws `key_store_invalid` if another user may have read or replaced the content;
   *   `store_unavailable`
   */
  list(): Promise<StoredKey[]>
  /** Inserts a text in one atomic step and returns true, or returns false if the name exists. */
  insertIfAbsent(key: StoredKey): Promise<boolean>
  /**
   * Replaces a text atomically: a reader sees the old text or the new one. A name that was removed
   * a moment ago may reappear; its lifecycle and revocation still hold.
   */
  replace(key: StoredKey): Promise<void>
  /** Removes a name. Removing an absent name is not an error. */
  remove(name: string): Promise<void>
  close(): Promise<void>
}

/**
 * Opens the key store that a URL names and loads its driver. Other drivers are never loaded.
 *
 * @param cwd base folder of a relative path
 * @throws `config_invalid`, `store_unavailable`, `migration_failed`
 */
export async function openKeyStore(url: string, cwd: string): Promise<KeyStore> {
  if (isPostgres(url)) {
    const { PostgresKeyStore } = await import('./postgres-key-store.ts')
    return PostgresKeyStore.open(url)
  }
  return new FileKeyStore(resolve(cwd, url.slice('file:'.length)))
}

const suffix = '.json'
/** The random part in the name of a temporary file. */
const randomPart = /\.[^/.]+(?=\.tmp)/g

/**
 * Keeps signing keys in a folder (`file:keys`), one `.json` file per key. Several processes may share
 * the folder. Other files are left alone.
 */
export class FileKeyStore implements KeyStore {
  readonly #folder: string

  /** @param folder created with the first key, accessible to its owner only */
  constructor(folder: string) {
    this.#folder = folder
  }

  async list(): Promise<StoredKey[]> {
    const files = await this.#do(() => listFolder(this.#folder))
    const names = files.filter(isKeyFile).map((file) => file.slice(0, -suffix.length))
    const keys = await Promise.all(names.map((name) => this.#read(name)))
    return keys.filter((key) => key !== null)
  }

  async insertIfAbsent(key: StoredKey): Promise<boolean> {
    return this.#write(key, linkIfAbsent)
  }

  async replace(key: StoredKey): Promise<void> {
    await this.#write(key, rename)
  }

  async remove(name: string): Promise<void> {
    const path = this.#pathOf(name)
    await this.#do(() => rm(path, { force: true }))
  }

  async close(): Promise<void> {
    // Nothing is held open.
  }

  /** Null if the file was deleted after the folder was read. */
  async #read(name: string): Promise<StoredKey | null> {
    const path = this.#pathOf(name)
    const text = await this.#do(() => readPrivately(path))
    return text === null ? null : { name, text }
  }

  /** Writes a temporary file completely, then gives it its final name. */
  #write<T>({ name, text }: StoredKey, give: (from: string, to: string) => Promise<T>): Promise<T> {
    const path = this.#pathOf(name)
    // list() ignores this name: a file left behind by a killed process is never read as a key.
    const temporary = join(this.#folder, `.${name}.${randomId()}.tmp`)
    return this.#do(async () => {
      createFolder(this.#folder)
      try {
        await writeDurably(temporary, text, this.#folder)
        const given = await give(temporary, path)
        // A lost key would invalidate its tokens.
        await syncFolder(this.#folder)
        return given
      } finally {
        await rm(temporary, { force: true })
      }
    })
  }

  #pathOf(name: string): string {
    if (!keyNamePattern.test(name)) throw invalid(`${JSON.stringify(name)} cannot name a key`)
    return join(this.#folder, `${name}${suffix}`)
  }

  async #do<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      const cause = error as Error
      // A failure that repeats must have the same message.
      cause.message = cause.message.replace(randomPart, '')
      const detail = `The key folder ${this.#folder} cannot be used: ${cause.message}.`
      throw storeUnavailable(cause, detail)
    }
  }
}

function isKeyFile(file: string): boolean {
  return file.endsWith(suffix) && !file.startsWith('.')
}

async function listFolder(folder: string): Promise<string[]> {
  const stats = await stat(folder).catch(nullIfAbsent)
  if (stats === null) return []
  await refuseWriters(folder, stats.mode)
  return readdir(folder)
}

/** Refuses a folder that other users may write to: they could replace a key. */
async function refuseWriters(folder: string, mode: number): Promise<void> {
  if ((mode & 0o002) !== 0) throw invalid(`Anybody may write to ${folder}: chmod 700 it`)
  if ((mode & 0o020) === 0) return
  try {
    // Under a umask of 002 every checkout has group-writable folders. The group cannot read the
    // keys, so it has no use for the permission.
    await chmod(folder, mode & 0o7755)
  } catch {
    throw invalid(`A group may write to ${folder}: chmod g-w it`)
  }
}

/** Reads a file and refuses it if others may read it: the key signs tokens for any user. */
async function readPrivately(path: string): Promise<string | null> {
  const file = await open(path, 'r').catch(nullIfAbsent)
  if (file === null) return null
  try {
    const { mode } = await file.stat()
    if ((mode & 0o077) !== 0) throw invalid(`${path} is open to others: chmod 600 it`)
    return await file.readFile('utf8')
  } finally {
    await file.close()
  }
}

async function writeDurably(path: string, text: string, folder: string): Promise<void> {
  const file = await open(path, 'wx', 0o600)
  try {
    await giveToOwner(file, folder)
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
}

/**
 * Gives a file that root writes to the owner of the folder. Otherwise a command that root runs would
 * lock the service out of its keys. Not every file system can do this.
 */
async function giveToOwner(file: FileHandle, folder: string): Promise<void> {
  if (process.getuid?.() !== 0) return
  const { uid, gid } = await stat(folder)
  await file.chown(uid, gid).catch(() => {})
}

/** A link, unlike a rename, fails if the name exists: this makes the insert atomic. */
async function linkIfAbsent(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

function invalid(why: string): GatepassError {
  return new GatepassError('key_store_invalid', { detail: `${why}.` })
}
