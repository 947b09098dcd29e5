import { join } from 'node:path'
import { build } from 'esbuild'

export interface Bundle {
  readonly entry: string
  /** Its name in dist/browser. */
  readonly file: string
  readonly format: 'esm' | 'iife'
}

export const bundles: readonly Bundle[] = [
  { entry: 'src/browser/index.ts', file: 'gatepass.min.js', format: 'esm' },
  { entry: 'src/browser/script.ts', file: 'gatepass.script.js', format: 'iife' },
]

/** Bundles and minifies, for browsers of the last three years. */
export async function bundle({ entry, format }: Bundle, outfile: string): Promise<void> {
  await build({
    absWorkingDir: join(import.meta.dirname, '..'),
    entryPoints: [entry],
    outfile,
    format,
    bundle: true,
    minify: true,
    target: 'es2022',
    legalComments: 'none',
  })
}
