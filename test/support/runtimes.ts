import { globSync } from 'node:fs'
import { join } from 'node:path'
import { projectFolder } from './project.ts'

/** The program of a package that npm has installed for this machine. */
function program(pattern: string): string {
  const [found] = globSync(pattern, { cwd: projectFolder })
  if (found === undefined) throw new Error(`${pattern} is missing; npm ci installs it`)
  return join(projectFolder, found)
}

/** The programs of the other runtimes. */
export const runtime = {
  node22: () => program('test/runtimes/node_modules/node/bin/node{,.exe}'),
  bun: () => program('node_modules/@oven/*/bin/bun{,.exe}'),
  deno: () => program('node_modules/@deno/*/deno{,.exe}'),
  workerd: () => program('node_modules/@cloudflare/workerd-*/bin/workerd{,.exe}'),
}
