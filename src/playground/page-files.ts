import { readFile } from 'node:fs/promises'
import { stripTypeScriptTypes } from 'node:module'
import { fileURLToPath } from 'node:url'
import { GatepassError } from '../core/errors.ts'

/** `.ts` where we run from the sources, `.js` where we were built; the page's modules are alike. */
const own = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
const root = new URL('../', import.meta.url)

/** All that may be read: modules of the page and of the client, and what the page shows. */
const modulePath = new RegExp(`^(?:playground/page|browser)/[a-z-]+\\.${own}$`)
const otherTypes: Readonly<Record<string, string>> = {
  'playground/page/index.html': 'text/html; charset=utf-8',
  'playground/page/style.css': 'text/css; charset=utf-8',
  'playground/page/icon.svg': 'image/svg+xml',
}

export const indexPath = 'playground/page/index.html'

export interface PageFile {
  readonly type: string
  readonly text: string
}

/** Files of the page by their path below the sources, or below `dist`. */
export class PageFiles {
  /** What came of the types being taken out, which is more work than reading. */
  readonly #kept = new Map<string, Promise<PageFile>>()

  /** @throws `route_not_found` */
  read(path: string): Promise<PageFile> {
    const isModule = modulePath.test(path)
    const type = isModule ? 'text/javascript; charset=utf-8' : otherTypes[path]
    if (type === undefined) throw new GatepassError('route_not_found')
    const kept = this.#kept.get(path)
    if (kept !== undefined) return kept
    const file = load(path).then((text) => ({ type, text }))
    this.#kept.set(path, file)
    // A file that was not there may be there later; the next one asks anew.
    file.catch(() => this.#kept.delete(path))
    return file
  }
}

async function load(path: string): Promise<string> {
  let text: string
  try {
    text = await readFile(fileURLToPath(new URL(path, root)), 'utf8')
  } catch (cause) {
    throw new GatepassError('route_not_found', { cause })
  }
  if (path.endsWith('.ts')) return stripTypeScriptTypes(text)
  // The page names its first module as it stands in the sources.
  return own === 'js' ? text.replace(/(src="[^"]+)\.ts"/g, '$1.js"') : text
}
