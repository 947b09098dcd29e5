import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { projectFolder } from '../../scripts/project-files.ts'

export { projectFiles, projectFolder } from '../../scripts/project-files.ts'

export function readProjectFile(path: string): string {
  return readFileSync(join(projectFolder, path), 'utf8')
}

interface Manifest {
  readonly engines: { readonly node: string }
  readonly dependencies: Readonly<Record<string, string>>
}

export function readManifest(): Manifest {
  return JSON.parse(readProjectFile('package.json')) as Manifest
}
