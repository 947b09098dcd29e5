import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { commandOn } from '../../../harness/child.ts'
import type { Bench } from '../../../harness/scenario.ts'
import { program } from '../../../scenarios/programs.ts'
import type { SurgeOptions } from '../../result.ts'
import type { ActionName } from '../../script.ts'
import { Replicas } from '../replicas.ts'
import type { GatepassSettings } from './settings.ts'

const shopProgram = new URL('../../../../../examples/shop/main.ts', import.meta.url)
const run = promisify(execFile)

/** All processes of Gatepass and of the shop. */
export class Fleet {
  readonly #issuers: Replicas
  readonly #verifiers: Replicas
  readonly #shops: Replicas
  readonly #settings: GatepassSettings
  readonly #cwd: string
  readonly #bench: Bench

  constructor(settings: GatepassSettings, cwd: string, bench: Bench) {
    const { issuer, verifier, shop } = settings
    const ours = (role: string, env: Readonly<Record<string, string>>) => (name: string) => {
      return { name, module: program, args: [role], cwd, env }
    }
    const shopSpec = (name: string) => {
      return { name, module: shopProgram, cwd, env: { ...shop, SHOP_NAME: name } }
    }
    this.#settings = settings
    this.#cwd = cwd
    this.#bench = bench
    this.#issuers = new Replicas('issuer', ours('issuer', issuer), bench)
    this.#verifiers = new Replicas('verifier', ours('verifier', verifier), bench)
    this.#shops = new Replicas('shop', shopSpec, bench)
  }

  async addIssuers(count: number): Promise<void> {
    for (let n = 0; n < count; n++) await this.#issuers.add()
  }

  /** Those who need the keys. */
  async addReaders({ verifiers, shops }: SurgeOptions): Promise<void> {
    for (let n = 0; n < verifiers; n++) await this.#verifiers.add()
    for (let n = 0; n < shops; n++) await this.#shops.add()
  }

  addresses() {
    const of = ({ running }: Replicas) => {
      // nginx takes no upstream without a server; the discard port refuses.
      return running.length === 0 ? ['127.0.0.1:9'] : running.map(({ address }) => address)
    }
    return { issuers: of(this.#issuers), verifiers: of(this.#verifiers), shops: of(this.#shops) }
  }

  guards(): string[] {
    return [
      ...this.#verifiers.running.map(({ server }) => `${server.url}/verify`),
      ...this.#shops.running.map(({ server }) => `${server.url}/preferences`),
    ]
  }

  async act(action: Exclude<ActionName, 'fail-over'>): Promise<string> {
    if (action === 'rotate-keys') return this.#rotateKeys()
    const [verb, kind] = action.split('-')
    const replicas = { issuer: this.#issuers, verifier: this.#verifiers, shop: this.#shops }[
      kind as 'issuer' | 'verifier' | 'shop'
    ]
    if (verb === 'kill') return `${replicas.kill().name} killed`
    return `${(await replicas.add()).name} added`
  }

  /** As an operator does it. */
  async #rotateKeys(): Promise<string> {
    const [command = '', ...args] = commandOn('server', this.#bench.cores, [
      process.execPath,
      fileURLToPath(program),
      ...['keys', 'rotate', '--json'],
    ])
    const env = { PATH: process.env.PATH, ...this.#settings.issuer }
    const { stdout } = await run(command, args, { cwd: this.#cwd, env })
    const [key] = JSON.parse(stdout) as [{ kid: string; activates_at: string }]
    return `${key.kid.slice(0, 8)}… is published and signs from ${key.activates_at.slice(11, 23)} on`
  }

  async stop(): Promise<void> {
    const all = [this.#issuers, this.#verifiers, this.#shops].flatMap(({ running }) => running)
    await Promise.all(all.map(({ server }) => server.stop()))
  }
}
