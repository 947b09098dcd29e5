import { extname } from 'node:path'

/** The program of this name beside a module that asks for it, be it the source or what was built from it. */
export function programBeside(module: ImportMeta, name: string): URL {
  return new URL(`./${name}${extname(module.filename)}`, module.url)
}
