import { execFileSync } from 'node:child_process'
import { copyFileSync, cpSync, existsSync, mkdirSync, statSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { machineEnv, withEnv } from './processes.ts'

/**
 * Builds an image from a Dockerfile without a container engine: a folder replaces the root of each
 * stage, and this machine the base image. Supports only the instructions of our Dockerfile.
 */

export interface Instruction {
  readonly keyword: string
  readonly flags: Readonly<Record<string, string>>
  readonly rest: string
}

export interface Stage {
  readonly name: string
  readonly base: string
  readonly instructions: readonly Instruction[]
}

export function parseDockerfile(text: string): Stage[] {
  const stages: { name: string; base: string; instructions: Instruction[] }[] = []
  for (const { keyword, flags, rest } of instructionsOf(text)) {
    if (keyword === 'FROM') {
      const [base = '', , name = ''] = rest.split(/\s+/)
      stages.push({ base, name, instructions: [] })
    } else {
      const stage = stages.at(-1)
      if (stage === undefined) throw new Error(`${keyword} comes before FROM`)
      stage.instructions.push({ keyword, flags, rest })
    }
  }
  return stages
}

function instructionsOf(text: string): Instruction[] {
  const code = text.replaceAll(/^\s*#.*\n/gm, '').replaceAll(/\\\n\s*/g, '')
  const lines = code.split('\n').filter((line) => line.trim() !== '')
  return lines.map((line) => {
    const [, keyword = '', flagText = '', rest = ''] =
      /^([A-Z]+)\s+((?:--\S+\s+)*)(.*)$/.exec(line) ?? []
    if (keyword === '') throw new Error(`no instruction: ${line}`)
    const flags = [...flagText.matchAll(/--([\w-]+)=(\S+)/g)].map(([, name, value]) => [
      name,
      value,
    ])
    return { keyword, flags: Object.fromEntries(flags), rest: rest.trim() }
  })
}

/** The `name=value` pairs of an ENV or a LABEL. */
export function pairs(text: string): Record<string, string> {
  const found = text.matchAll(/([\w.]+)=(?:"([^"]*)"|(\S*))/g)
  return Object.fromEntries([...found].map(([, name, quoted, plain]) => [name, quoted ?? plain]))
}

/** Returns the files that a .dockerignore does not exclude. The last matching pattern wins. */
export function withoutIgnored(files: readonly string[], dockerignore: string): string[] {
  const rules = dockerignore
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const glob = line.replace(/^!/, '').replaceAll('.', '\\.').replaceAll('*', '[^/]*')
      return { keeps: line.startsWith('!'), pattern: new RegExp(`^${glob}(/|$)`) }
    })
  return files.filter((file) => rules.findLast(({ pattern }) => pattern.test(file))?.keeps ?? true)
}

/** A built image. */
export class Image {
  /** The folder that replaces `/`. */
  readonly root: string
  readonly env: Record<string, string> = {}
  readonly labels: Record<string, string> = {}
  readonly volumes: string[] = []
  workdir = '/'
  user = 'root'
  entrypoint: string[] = []
  cmd: string[] = []
  healthcheck: string[] = []

  constructor(root: string) {
    this.root = root
  }

  /** Returns the path on this machine of a path in the image. */
  path(inside: string): string {
    return join(this.root, resolve(this.workdir, inside))
  }
}

/**
 * Builds all stages and returns the last one.
 *
 * @param context the folder that COPY copies from
 * @param folder an empty folder for the roots of the stages
 */
export function build(dockerfile: string, context: string, folder: string): Image {
  const stages = parseDockerfile(dockerfile)
  const ownFolders = foldersOf(stages)
  const images: Image[] = []
  const bin = join(folder, 'bin')
  mkdirSync(bin)
  copyFileSync(process.execPath, join(bin, 'node'))

  for (const [index, { instructions }] of stages.entries()) {
    const image = new Image(join(folder, `stage-${index}`))
    images.push(image)
    mkdirSync(image.root)
    image.env.PATH = `${bin}:${process.env.PATH}`
    for (const { keyword, flags, rest } of instructions) {
      /** Returns the text with paths on this machine instead of paths in the image. */
      const here = () => relocate(rest, ownFolders, image.root)
      if (keyword === 'COPY') {
        const from = images[stages.findIndex(({ name }) => name === flags.from)]?.root ?? context
        copy(image, from, rest.split(/\s+/), flags.chown)
      } else if (keyword === 'RUN') {
        const env = { ...machineEnv, ...image.env }
        const options = { cwd: image.path('.'), timeout: 300_000, encoding: 'utf8' } as const
        execFileSync(...withEnv(env, ['sh', '-c', here()]), options)
      } else if (keyword === 'ENV') Object.assign(image.env, pairs(here()))
      else if (keyword === 'ENTRYPOINT') image.entrypoint = JSON.parse(here())
      else record(image, keyword, rest)
    }
  }
  const last = images.at(-1)
  if (last === undefined) throw new Error('the Dockerfile has no stage')
  return last
}

/** Records an instruction that describes how the image runs. */
function record(image: Image, keyword: string, rest: string): void {
  if (keyword === 'WORKDIR') {
    image.workdir = resolve(image.workdir, rest)
    mkdirSync(image.path('.'), { recursive: true })
  } else if (keyword === 'LABEL') Object.assign(image.labels, pairs(rest))
  else if (keyword === 'USER') image.user = rest
  else if (keyword === 'VOLUME') image.volumes.push(rest)
  else if (keyword === 'CMD') image.cmd = JSON.parse(rest)
  else if (keyword === 'HEALTHCHECK') image.healthcheck = JSON.parse(rest.replace(/^CMD\s+/, ''))
  else if (keyword !== 'EXPOSE') throw new Error(`${keyword} can't be replayed`)
}

/** Returns the folders that the Dockerfile creates. Other paths in a command belong to the system. */
function foldersOf(stages: readonly Stage[]): string[] {
  const all = stages.flatMap(({ instructions }) => instructions)
  const named = all.filter(({ keyword }) => keyword === 'WORKDIR' || keyword === 'VOLUME')
  return [...new Set(named.map(({ rest }) => rest))]
}

function relocate(text: string, folders: readonly string[], root: string): string {
  return text.replaceAll(/(?<![\w./-])\/[\w.-]+/g, (path) =>
    folders.includes(path) ? join(root, path) : path,
  )
}

function copy(image: Image, from: string, paths: readonly string[], owner?: string): void {
  const to = paths.at(-1) ?? '.'
  const sources = paths.slice(0, -1).map((path) => join(from, path))
  const target = image.path(to)
  const intoFolder = to.endsWith('/') || sources.length > 1 || existsSync(target)
  for (const source of sources) {
    const isFile = statSync(source).isFile()
    const path = isFile && intoFolder ? join(target, basename(source)) : target
    cpSync(source, path, { recursive: true, verbatimSymlinks: true })
  }
  // Only root may change the owner of a file. Another user owns the files and runs the image.
  if (owner !== undefined && process.getuid?.() === 0) execFileSync('chown', ['-R', owner, target])
}
