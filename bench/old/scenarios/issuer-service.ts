import { randomBytes } from 'node:crypto'
import { cpSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Bench } from '../harness/scenario.ts'
import { type ServerSpec, startServer } from '../harness/server.ts'
import { program } from './programs.ts'

/** Settings by the names of the environment. */
type Settings = Readonly<Record<string, string>>

/**
 * An issuer as it runs in production, on embedded stores, with its log at the default level. The
 * template of its data is copied for each start, so that no round finds what another left.
 */
export class IssuerService {
  /** Where a scenario lays out what the issuer is to find when it starts. */
  readonly template: string
  /** The MAC secret of refresh tokens. */
  readonly secret = newSecret()
  readonly #keysSecret = newSecret()
  readonly #folder: string
  readonly #settings: Settings

  private constructor(folder: string, settings: Settings) {
    this.template = `${folder}-template`
    this.#folder = folder
    this.#settings = settings
    mkdirSync(this.template)
  }

  /**
   * Makes the template by a first start: its keys and empty databases.
   * @param name tells it from others of the same scenario
   */
  static async create(
    bench: Bench,
    settings: Settings = {},
    name = 'issuer',
  ): Promise<IssuerService> {
    const issuer = new IssuerService(join(bench.scratch, name), settings)
    const server = await startServer(issuer.#specIn(issuer.template), bench)
    await server.stop()
    return issuer
  }

  /** A start on a fresh copy of the template. */
  spec(): ServerSpec {
    rmSync(this.#folder, { recursive: true, force: true })
    cpSync(this.template, this.#folder, { recursive: true })
    return this.#specIn(this.#folder)
  }

  /** A start on the template itself, where a copy would take too long. */
  specInPlace(): ServerSpec {
    return this.#specIn(this.template)
  }

  /** The body of one answer, for a server beside it to send the same. */
  async sampleAnswer(bench: Bench, path: string, request?: RequestInit): Promise<string> {
    const server = await startServer(this.spec(), bench)
    try {
      const response = await fetch(`${server.url}${path}`, request)
      if (!response.ok) throw new Error(`${path} answered ${response.status}`)
      return await response.text()
    } finally {
      await server.stop()
    }
  }

  #specIn(cwd: string): ServerSpec {
    const env = {
      GATEPASS_PORT: '0',
      GATEPASS_ADMIN_PORT: '0',
      GATEPASS_SECRET: this.secret,
      GATEPASS_KEYS_SECRET: this.#keysSecret,
      ...this.#settings,
    }
    return { name: 'issuer', module: program, args: ['issuer'], cwd, env }
  }
}

function newSecret(): string {
  return randomBytes(32).toString('base64url')
}
