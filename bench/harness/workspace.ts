import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { chooseCores } from './machine.ts'
import { installRevision, installWorkingTree, type Revision } from './revision.ts'
import type { Bench, BenchOptions } from './scenario.ts'

export type Log = (line: string) => void

/** A folder for the files of a run, which is removed when this process ends. */
export class Workspace {
  readonly #root: string
  readonly #log: Log
  readonly cores = chooseCores()

  constructor(log: Log) {
    if (this.cores === null)
      log('Processes are not pinned to cores: that needs taskset and two cores.')
    this.#log = log
    this.#root = mkdtempSync(join(tmpdir(), 'gatepass-bench-'))
    // Postgres runs as another user, in a folder below.
    chmodSync(this.#root, 0o711)
    // The processes that this process has just killed may still write.
    const removal = { recursive: true, force: true, maxRetries: 5 }
    process.once('exit', () => rmSync(this.#root, removal))
    for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) {
      process.once(signal, () => process.exit(128 + constants.signals[signal]))
    }
  }

  /** @param name a revision; default: the working tree */
  install(name?: string): Revision {
    this.#log(`packing ${name ?? 'the working tree'}`)
    if (name !== undefined) return installRevision(name)
    return installWorkingTree(mkdtempSync(join(this.#root, 'revision-')))
  }

  /** Runs work with its own bench, then its cleanups. */
  async with<T>(
    name: string,
    { revision, options }: { readonly revision: Revision; readonly options: BenchOptions },
    work: (bench: Bench) => Promise<T>,
  ): Promise<T> {
    const scratch = join(this.#root, name)
    mkdirSync(scratch)
    const ends: (() => Promise<void>)[] = []
    const defer: Bench['defer'] = (end) => void ends.unshift(end)
    try {
      return await work({ options, cores: this.cores, revision, scratch, defer })
    } finally {
      for (const end of ends) await end()
      rmSync(scratch, { recursive: true, force: true })
    }
  }
}
