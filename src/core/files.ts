import { mkdirSync, statSync } from 'node:fs'
import { open, rename, rm, utimes, writeFile } from 'node:fs/promises'
import { dirname, extname } from 'node:path'
import { randomId } from './secrets.ts'

/**
 * Creates a folder with mode 700, and its parents. Node's recursive `mkdir` never returns if the system
 * answers ENOENT below an existing folder, as in `/proc`.
 */
export function createFolder(path: string): void {
  if (isFolder(path)) return
  const parent = dirname(path)
  if (parent !== path) createFolder(parent)
  try {
    mkdirSync(path, { mode: 0o700 })
  } catch (error) {
    // Another process may have created it meanwhile.
    if (!isFolder(path)) throw error
  }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false
}

/**
 * Replaces a file atomically, so that no reader sees half a file. After a power failure the path has the
 * old text or the new one; after `syncFolder` the new one.
 *
 * @param modifiedAtMs the file's modification time. Default: now
 */
export async function replaceFile(
  path: string,
  text: string,
  mode: number,
  modifiedAtMs?: number,
): Promise<void> {
  const temporary = `${path}.${randomId()}.tmp`
  try {
    await writeFile(temporary, text, { flag: 'wx', mode, flush: true })
    if (modifiedAtMs !== undefined) {
      const modifiedAt = modifiedAtMs / 1000
      await utimes(temporary, modifiedAt, modifiedAt)
    }
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {})
    throw error
  }
}

/** Handles the rejection of a call: null if the file or folder does not exist. */
export function nullIfAbsent(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT') return null
  throw error
}

/** Makes new names in a folder survive a power failure. Windows has no call for it. */
export async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Returns the URL of a program beside a module: `.ts` beside a source, `.js` beside a built module. */
export function programBeside(module: ImportMeta, name: string): URL {
  return new URL(`./${name}${extname(module.filename)}`, module.url)
}
