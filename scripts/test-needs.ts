import { existsSync, readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { packageOf } from './test-packages.ts'

export interface TestNeeds {
  /** Programs that a test file may start, directly or by a module that it imports. */
  readonly programs: readonly string[]
  /** Whether it may start another process. */
  readonly processes: boolean
}

const importPattern = /(?:from|import) '(\.{1,2}\/[^']+)'/g

/** Modules that start only short processes, such as `git ls-files`. */
const harmless = /\/(support\/project|docs\/git\.test)\.ts$/

/** Documents tell their readers to use these; a test that runs documents needs them. */
const ofDocuments = ['curl', 'openssl']

/** Finds what a test file needs, by reading it and the modules that it imports. */
export function testNeeds(path: string): TestNeeds {
  const modules = new Map<string, string>()
  collect(path, modules)
  const sources = [...modules].filter(([one]) => one.includes('/test/')).map(([, source]) => source)
  const quoted = (program: string) => new RegExp(`['"\`/]${program}['"\` ]`)
  const has = (end: string) => [...modules.keys()].some((one) => one.endsWith(end))
  const runsDocuments = has('test/docs/documents.ts') && has('test/support/processes.ts')
  const programs = Object.keys(packageOf).filter(
    (program) =>
      sources.some((source) => quoted(program).test(source)) ||
      (runsDocuments && ofDocuments.includes(program)),
  )
  const processes = [...modules].some(
    ([one, source]) => !harmless.test(one) && /'node:(child_process|cluster)'/.test(source),
  )
  return { programs, processes }
}

/** Reads a module, and the modules of this project that it imports. */
function collect(path: string, modules: Map<string, string>): void {
  if (modules.has(path) || !/[\\/](bench|examples|src|test)[\\/]/.test(path) || !existsSync(path))
    return
  const source = readFileSync(path, 'utf8')
  modules.set(path.replaceAll('\\', '/'), source)
  for (const [, specifier = ''] of source.matchAll(importPattern)) {
    const target = resolve(dirname(path), specifier)
    if (target.endsWith('.ts')) collect(target, modules)
  }
}
