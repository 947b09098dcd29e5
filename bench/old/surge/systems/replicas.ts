import type { Bench } from '../../harness/scenario.ts'
import { type Server, type ServerSpec, startServer } from '../../harness/server.ts'

export interface Replica {
  readonly name: string
  readonly server: Server
  /** For a list of upstreams: `127.0.0.1:4000`. */
  readonly address: string
}

/** The processes of one kind. A replica that was killed stays dead; another one comes in its place. */
export class Replicas {
  readonly #kind: string
  readonly #specOf: (name: string) => ServerSpec
  readonly #bench: Bench
  #running: Replica[] = []
  #count = 0

  /** @param specOf what to start; it listens on a free port, and tells it by message */
  constructor(kind: string, specOf: (name: string) => ServerSpec, bench: Bench) {
    this.#kind = kind
    this.#specOf = specOf
    this.#bench = bench
  }

  get running(): readonly Replica[] {
    return this.#running
  }

  /** Resolves when it takes requests. */
  async add(): Promise<Replica> {
    const name = `${this.#kind}-${++this.#count}`
    const server = await startServer(this.#specOf(name), this.#bench)
    const replica = { name, server, address: new URL(server.url).host }
    this.#bench.defer(() => server.stop())
    this.#running.push(replica)
    return replica
  }

  /** The oldest one gets no chance to say anything. @returns which one it was */
  kill(): Replica {
    const [oldest, ...rest] = this.#running
    if (oldest === undefined) throw new Error(`there is no ${this.#kind} to kill`)
    this.#running = rest
    process.kill(oldest.server.pid, 'SIGKILL')
    return oldest
  }
}
