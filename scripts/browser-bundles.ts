import { join } from 'node:path'
import { build } from 'esbuild'

export interface Bundle {
  /** The file name in dist/browser. */
  readonly file: string
  /** A module, or a script that defines the global `gatepass`. */
  readonly format: 'esm' | 'iife'
}

export const bundles: readonly Bundle[] = [
  { file: 'gatepass.min.js', format: 'esm' },
  { file: 'gatepass.script.js', format: 'iife' },
]

const contents = {
  esm: `export { AuthClientError, createAuthClient } from './index.ts'`,
  iife: `import { AuthClientError, createAuthClient } from './index.ts'
    globalThis.gatepass = { AuthClientError, createAuthClient }`,
}

/** Bundles and minifies, for browsers of the last three years. */
export async function bundle({ format }: Bundle, outfile: string): Promise<void> {
  await build({
    absWorkingDir: join(import.meta.dirname, '..'),
    stdin: { contents: contents[format], resolveDir: 'src/browser' },
    outfile,
    format,
    bundle: true,
    minify: true,
    target: 'es2022',
    legalComments: 'none',
  })
}
