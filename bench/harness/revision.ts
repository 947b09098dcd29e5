import { execFileSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildSync } from 'esbuild'

const repository = fileURLToPath(new URL('../../', import.meta.url))
const rivals = join(repository, 'bench/rivals')
/** Outside the repository: a program inside it would find the packages of the working tree. */
const revisions = join(homedir(), '.cache/gatepass-bench')
const installation = ['ci', '--no-audit', '--no-fund', '--prefer-offline']

/**
 * Gatepass as its users get it: the tarballs of one revision, unpacked in a `node_modules`. The benchmark
 * uses only these packages, the command line and HTTP, so it can compare revisions with different files.
 */
export type Revision = ReturnType<typeof install>

const sources = [
  'bench/harness/{load,settle}.ts',
  'bench/programs/*.ts',
  'bench/surge/servers/*.ts',
  'examples/shop/main.ts',
]

/** Installs the files of the working tree, including uncommitted ones, into an empty folder. */
export function installWorkingTree(folder: string): Revision {
  const paths = git('ls-files', '-z', '--cached', '--others', '--exclude-standard').split('\0')
  for (const path of paths.filter((one) => one !== '' && existsSync(join(repository, one)))) {
    cpSync(join(repository, path), join(folder, path))
  }
  const isModified = git('status', '--short') !== ''
  return install(folder, { name: 'working tree', commit: git('rev-parse', 'HEAD'), isModified })
}

/**
 * Installs a commit, unless an earlier run has installed it.
 * @throws if the revision does not exist
 */
export function installRevision(name: string): Revision {
  const commit = commitOf(name)
  const folder = join(revisions, commit)
  if (!isInstalled(folder)) {
    rmSync(folder, { recursive: true, force: true })
    mkdirSync(folder, { recursive: true })
    const archive = join(folder, 'archive.tar')
    git('archive', '--format=tar', '-o', archive, commit)
    execFileSync('tar', ['-xf', archive, '-C', folder])
    rmSync(archive)
  }
  return install(folder, { name, commit, isModified: false })
}

function commitOf(revision: string): string {
  try {
    return git('rev-parse', '--verify', '--quiet', '--end-of-options', `${revision}^{commit}`)
  } catch {
    throw new Error(`There is no revision ${revision}.`)
  }
}

interface Source {
  /** The name that the user gave, or `working tree`. */
  readonly name: string
  readonly commit: string
  readonly isModified: boolean
}

/** The last file of an installation. Without it, `gatepass` would mean the sources, in the folder above. */
const manifestOf = (folder: string) => join(folder, 'installed/package.json')
const isInstalled = (folder: string) => existsSync(manifestOf(folder))

function install(folder: string, source: Source) {
  const installed = join(folder, 'installed')
  if (!isInstalled(folder)) {
    addDependencies(folder)
    unpack(pack(folder), join(installed, 'node_modules'))
    writeFileSync(manifestOf(folder), '{ "private": true, "type": "module" }\n')
  }
  const programs = compilePrograms(installed)
  const gatepass = join(installed, 'node_modules/gatepass')
  const { bin } = readJson(join(gatepass, 'package.json')) as { bin: { gatepass: string } }
  return {
    ...source,
    cli: join(gatepass, bin.gatepass),
    /** @returns the compiled module of a program of the benchmark, such as `programs/fastify` */
    program: (name: string) => join(programs, `${name}.js`),
  }
}

/** Installs the dependencies. If the lock file is that of the working tree, links its packages instead. */
function addDependencies(folder: string): void {
  const lockOf = (root: string) => readFileSync(join(root, 'package-lock.json'), 'utf8')
  if (lockOf(folder) === lockOf(repository)) {
    symlinkSync(join(repository, 'node_modules'), join(folder, 'node_modules'))
  } else run('npm', installation, folder)
}

/** Builds and packs the packages. @returns their tarballs */
function pack(folder: string): string[] {
  const { scripts } = readJson(join(folder, 'package.json')) as { scripts: object }
  // Older revisions are one package.
  const hasPackages = 'pack' in scripts
  const tarballs = join(folder, hasPackages ? 'dist/packages' : 'packed')
  if (!hasPackages) mkdirSync(tarballs)
  run('npm', hasPackages ? ['run', 'pack'] : ['pack', '--pack-destination', tarballs], folder)
  return globSync(join(tarballs, '*.tgz'))
}

/** Unpacks each tarball under the name of its package. Dependencies are in the folders above. */
function unpack(tarballs: readonly string[], modules: string): void {
  for (const tarball of tarballs) {
    const manifest = execFileSync('tar', ['-xOzf', tarball, 'package/package.json'])
    const { name } = JSON.parse(manifest.toString()) as { name: string }
    const target = join(modules, name)
    mkdirSync(target, { recursive: true })
    execFileSync('tar', ['-xzf', tarball, '-C', target, '--strip-components=1'])
  }
  if (!existsSync(join(modules, 'gatepass'))) throw new Error('There is no package gatepass.')
}

/** Compiles the programs of this benchmark beside the packages of a revision, until this process ends. */
function compilePrograms(installed: string): string {
  const outdir = mkdtempSync(join(installed, 'programs-'))
  process.once('exit', () => rmSync(outdir, { recursive: true, force: true }))
  const paths = globSync(sources, { cwd: repository })
  buildSync({
    absWorkingDir: repository,
    outdir,
    bundle: true,
    packages: 'external',
    // The `paths` of tsconfig.json would bundle the sources in place of the packages of the revision.
    tsconfigRaw: {},
    format: 'esm',
    platform: 'node',
    target: 'node24',
    logLevel: 'warning',
    entryPoints: Object.fromEntries(paths.map((one) => [one.replace(/^bench\/|\.ts$/g, ''), one])),
  })
  symlinkSync(join(rivals, 'node_modules'), join(outdir, 'node_modules'))
  return outdir
}

/** Installs the rivals by their own lock file, again after it has changed. */
export function installRivals(): void {
  const changedMs = (name: string) =>
    statSync(join(rivals, name), { throwIfNoEntry: false })?.mtimeMs ?? 0
  if (changedMs('node_modules') < changedMs('package-lock.json')) run('npm', installation, rivals)
}

function readJson(path: string): unknown {
  return JSON.parse(readFileSync(path, 'utf8'))
}

/** Runs a command with its output on standard error, because standard output is for results. */
function run(command: string, args: readonly string[], cwd: string): void {
  execFileSync(command, [...args, '--silent'], { cwd, stdio: ['ignore', 2, 2] })
}

function git(...args: string[]): string {
  return execFileSync('git', args, { cwd: repository, encoding: 'utf8', stdio: 'pipe' }).trim()
}
