import { cpSync, globSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type { Test } from 'tap'
import { machineEnv, run } from '../support/processes.ts'
import { projectFiles, projectFolder } from '../support/project.ts'

/** Packs a copy of the project, as packing builds `dist`, and returns the tarballs by package. */
export async function packAll(t: Test, folder: string): Promise<ReadonlyMap<string, string>> {
  const copy = join(folder, 'project')
  for (const file of projectFiles()) cpSync(join(projectFolder, file), join(copy, file))
  symlinkSync(join(projectFolder, 'node_modules'), join(copy, 'node_modules'))
  await works(t, copy, 'npm', 'run', 'pack')
  const tarballs = globSync(join(copy, 'dist/packages/*.tgz'))
  return new Map(tarballs.map((path) => [basename(path).replace(/-\d.*/, ''), path]))
}

/** An empty project that installs tarballs and uses their packages. */
export class Consumer {
  readonly folder: string
  readonly #t: Test

  /** @param files the folder in test/package/consumers with the files of the project */
  constructor(t: Test, folder: string, files?: string) {
    this.#t = t
    this.folder = folder
    mkdirSync(folder)
    writeFileSync(join(folder, 'package.json'), '{ "private": true }')
    if (files === undefined) return
    cpSync(join(projectFolder, 'test/package/consumers', files), folder, { recursive: true })
  }

  async install(...args: readonly string[]): Promise<void> {
    const quiet = ['--ignore-scripts', '--no-audit', '--no-fund']
    await works(this.#t, this.folder, 'npm', 'install', ...quiet, ...args)
  }

  /** Names of the packages that npm installed. */
  installed(): string[] {
    const lock = readFileSync(join(this.folder, 'node_modules/.package-lock.json'), 'utf8')
    const { packages } = JSON.parse(lock) as { packages: object }
    return Object.keys(packages).map((path) => path.replace(/.*node_modules\//, ''))
  }

  /** Adds packages of this project, without their dependencies. */
  link(...names: readonly string[]): void {
    for (const name of names) {
      const path = join(this.folder, 'node_modules', name)
      mkdirSync(dirname(path), { recursive: true })
      symlinkSync(join(projectFolder, 'node_modules', name), path)
    }
  }

  /** Copies a file of the project, for example to an extension of another module system. */
  copy(from: string, to: string): void {
    cpSync(join(this.folder, from), join(this.folder, to))
  }

  /** Runs a program with Node. It must succeed. */
  node(...args: readonly string[]): Promise<string> {
    return works(this.#t, this.folder, process.execPath, ...args)
  }

  /** Runs a program of a package of this project. */
  program(path: string, ...args: readonly string[]): Promise<string> {
    return this.node(join(projectFolder, 'node_modules', path), ...args)
  }

  /**
   * Compiles with all declarations checked, and returns what the compiler says. For a declaration of
   * its own, the project must be able to name each type that it infers.
   */
  async compile(...args: readonly string[]): Promise<string> {
    const checks = ['--strict', '--skipLibCheck', 'false', '--declaration']
    // Several checkers would each check most of the same declarations.
    const strict = [...checks, '--target', 'es2022', '--noEmit', '--checkers', '1']
    const { stdout } = await run(this.#t, [...strict, ...args], {
      command: [process.execPath, join(projectFolder, 'node_modules/typescript/lib/tsc.js')],
      cwd: this.folder,
    })
    return stdout
  }
}

async function works(t: Test, cwd: string, ...command: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await run(t, [], { command, cwd, env: machineEnv })
  if (code !== 0) throw new Error(`${command.join(' ')} ended with ${code}:\n${stdout}${stderr}`)
  return stdout
}
