import type { RedisCall } from './call.ts'
import type { RedisLink } from './client.ts'
import { unavailable } from './errors.ts'
import { openLink, type RedisOptions } from './open.ts'

export interface ReplicaOptions extends RedisOptions {
  /**
   * How many replicas must have a change before it is acknowledged (`WAIT`). Together with
   * `min-replicas-to-write` at the servers no acknowledged change is lost at a fail-over. Default 0.
   */
  readonly replicas?: number
}

/** The part of the deadline that replicas have. */
const replicaShare = 0.5

/** The way to Redis for changes, of which each is acknowledged when so many replicas have it. */
export class Changes {
  readonly #link: RedisLink
  readonly #replicas: number

  private constructor(link: RedisLink, replicas: number) {
    this.#link = link
    this.#replicas = replicas
  }

  /**
   * Opens the way to Redis, and that for changes, which have a lane of their own where they wait.
   * @throws `config_invalid`, `store_unavailable`
   */
  static async open(
    url: string,
    { replicas = 0, ...options }: ReplicaOptions,
  ): Promise<{ link: RedisLink; changes: Changes }> {
    const link = await openLink(url, options, replicas === 0 ? 1 : 2)
    return { link, changes: new Changes(link, replicas) }
  }

  /** Whether replicas are waited for. */
  get areConfirmed(): boolean {
    return this.#replicas > 0
  }

  /** Like `run` of a link. */
  run<T>(work: (call: RedisCall) => Promise<T>): Promise<T> {
    return this.#link.run(work, this.areConfirmed ? 1 : 0)
  }

  /**
   * Writes, and resolves when the replicas have it. It writes anew when the connection was lost
   * meanwhile: Redis waits for what this connection has written, which may have been another one.
   *
   * What was there already, so that nothing is written, is not waited for.
   * @param keys of what is written: they say at which servers
   * @throws `store_unavailable` when too few have it, and nobody knows whether more will
   */
  async make<T>(
    call: RedisCall,
    keys: readonly string[],
    write: (isFirst: boolean) => Promise<T>,
    isRepeatable = true,
  ): Promise<T> {
    const waitMs = Math.max(1, Math.floor(this.#link.deadlineMs * replicaShare))
    const wait = ['WAIT', String(this.#replicas), String(waitMs)]
    for (let isFirst = true; ; isFirst = false) {
      const { disturbances } = this.#link
      const result = await write(isFirst)
      if (!this.areConfirmed) return result
      const counts = await Promise.all(keys.map((key) => call.command(key, wait)))
      if (this.#link.disturbances === disturbances) {
        const reached = Math.min(...(counts as number[]))
        if (reached >= this.#replicas) return result
        this.#link.doubt()
        throw unavailable(new Error(`Only ${reached} replicas have the change.`))
      }
      if (!isRepeatable) throw unavailable(new Error('The connection was lost meanwhile.'))
    }
  }
}
