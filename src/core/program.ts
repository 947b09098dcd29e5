import { extname } from 'node:path'

/** Returns the URL of a program beside a module: `.ts` beside a source, `.js` beside a built module. */
export function programBeside(module: ImportMeta, name: string): URL {
  return new URL(`./${name}${extname(module.filename)}`, module.url)
}
