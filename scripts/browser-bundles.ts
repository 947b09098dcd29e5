import { build } from 'esbuild'
import { projectFolder } from './project-files.ts'

export interface Bundle {
  /** The file name in dist/browser. */
  readonly file: string
  /** A module, or a script that defines the global `gatepass`. */
  readonly format: 'esm' | 'iife'
  /** The entry point in src/browser. */
  readonly entry: 'index' | 'redirect'
}

export const bundles: readonly Bundle[] = [
  { file: 'gatepass.min.js', format: 'esm', entry: 'index' },
  { file: 'gatepass.script.js', format: 'iife', entry: 'index' },
  { file: 'redirect.min.js', format: 'esm', entry: 'redirect' },
]

const names = '{ AuthClientError, createAuthClient }'

const contents = {
  esm: (entry: string) => `export ${names} from './${entry}.ts'`,
  iife: (entry: string) => `import ${names} from './${entry}.ts'
    globalThis.gatepass = ${names}`,
}

/** Bundles and minifies, for browsers of the last three years. */
export async function bundle({ format, entry }: Bundle, outfile: string): Promise<void> {
  await build({
    absWorkingDir: projectFolder,
    stdin: { contents: contents[format](entry), resolveDir: 'src/browser' },
    outfile,
    format,
    bundle: true,
    minify: true,
    target: 'es2022',
    legalComments: 'none',
  })
}
