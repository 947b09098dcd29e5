import { readFile } from 'node:fs/promises'
import { stripTypeScriptTypes } from 'node:module'
import { fileURLToPath } from 'node:url'
import { GatepassError } from '../core/errors.ts'

/** The extension of this module and of the page's modules: `ts` in the sources, `js` in `dist`. */
const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
const root = new URL('../', import.meta.url)

/** Paths that may be read: modules of the pages and of the browser client. */
const modulePath = new RegExp(
  `^(?:playground/page|playground/third-party|browser)/[a-z-]+\\.${extension}$`,
)
const [html, css, svg] = ['text/html; charset=utf-8', 'text/css; charset=utf-8', 'image/svg+xml']
const otherTypes: Readonly<Record<string, string>> = {
  'http/pages/common.css': css,
  'playground/page/index.html': html,
  'playground/page/base.css': css,
  'playground/page/replicas.css': css,
  'playground/page/cards.css': css,
  'http/pages/icon.svg': svg,
  'playground/third-party/index.html': html,
  'playground/third-party/icon.svg': svg,
}

export const indexPath = 'playground/page/index.html'
export const thirdPartyIndexPath = 'playground/third-party/index.html'

export interface PageFile {
  readonly type: string
  readonly text: string
}

/** Reads the files of the playground's pages, by path below `src` or `dist`. */
export class PageFiles {
  /** Stripping types costs more than reading, so the result is cached. */
  readonly #cache = new Map<string, Promise<PageFile>>()

  /** @throws `route_not_found` */
  read(path: string): Promise<PageFile> {
    const isModule = modulePath.test(path)
    const type = isModule ? 'text/javascript; charset=utf-8' : otherTypes[path]
    if (type === undefined) throw new GatepassError('route_not_found')
    const cached = this.#cache.get(path)
    if (cached !== undefined) return cached
    const file = load(path).then((text) => ({ type, text }))
    this.#cache.set(path, file)
    // A missing file may exist later.
    file.catch(() => this.#cache.delete(path))
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
  // index.html names its first module with the extension of the sources.
  return extension === 'js' ? text.replace(/(src="[^"]+)\.ts"/g, '$1.js"') : text
}
