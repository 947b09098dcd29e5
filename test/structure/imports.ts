import { posix } from 'node:path'
import { projectFiles, readProjectFile } from '../support/project.ts'

export interface Import {
  readonly from: string
  /** A file of ours by its path, anything else as it stands in the source. */
  readonly to: string
  /** Whether it is gone when the program runs. */
  readonly isType: boolean
  /** Whether it is loaded on demand, by `import()`. */
  readonly isDynamic: boolean
}

// The formatter sees to it that a statement starts its line, with single quotes: a statement in a
// comment or in a text is never taken for one.
const names = /(?:[\w$]+|\* as [\w$]+|\*|\{[^}]*\})/.source
const statement = new RegExp(
  `^(?:import|export) (type )?${names}(?:, ${names})? from '([^']+)'|^import '([^']+)'`,
  'gm',
)
const dynamic = /\bimport\('([^']+)'\)/g

export const sourceFiles: readonly string[] = projectFiles().filter((path) =>
  /^src\/.*\.ts$/.test(path),
)

export const imports: readonly Import[] = sourceFiles.flatMap((from) => {
  const text = readProjectFile(from)
  return [
    ...[...text.matchAll(statement)].map(([, type, path, bare]) =>
      importOf(from, path ?? bare ?? '', { isType: type !== undefined }),
    ),
    ...[...text.matchAll(dynamic)].map(([, path]) =>
      importOf(from, path ?? '', { isDynamic: true }),
    ),
  ]
})

function importOf(from: string, path: string, { isType = false, isDynamic = false }): Import {
  const to = path.startsWith('.') ? posix.join(posix.dirname(from), path) : path
  return { from, to, isType, isDynamic }
}

/** `src/issuer/login.ts` → `issuer`; null for what is not ours. */
export function folderOf(path: string): string | null {
  return /^src\/([^/]+)\//.exec(path)?.[1] ?? null
}

/** `@fastify/cors/types` → `@fastify/cors`; null for our files and for what is in Node. */
export function packageOf(path: string): string | null {
  if (folderOf(path) !== null || path.startsWith('node:')) return null
  return /^(@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? null
}
