import type { RedisCall, RedisClient } from './client.ts'
import { unavailable } from './connection.ts'

/** The part of the deadline that replicas have. */
const replicaShare = 0.5

/** Writes changes, each of which is acknowledged once enough replicas have it. */
export class ReplicatedWriter {
  readonly #client: RedisClient

  constructor(client: RedisClient) {
    this.#client = client
  }

  /** Whether replicas must confirm changes. */
  get isReplicated(): boolean {
    return this.#client.replicas > 0
  }

  /** Runs a call of one change. @throws as `write` */
  change<T>(
    keys: readonly string[],
    change: (call: RedisCall, isFirst: boolean) => Promise<T>,
    isRepeatable = true,
  ): Promise<T> {
    return this.run((call) =>
      this.write(call, keys, (isFirst) => change(call, isFirst), isRepeatable),
    )
  }

  /** Runs a call of several steps on the connection of changes. @throws `store_unavailable` */
  run<T>(work: (call: RedisCall) => Promise<T>): Promise<T> {
    return this.#client.run(work, this.isReplicated ? 'replicated' : 'main')
  }

  /**
   * Runs a change and waits for replicas by `WAIT`, which covers the writes of its own connection only:
   * a lost connection repeats the change. `WAIT` follows the change of one key without a pause; not in a
   * Cluster, where the library may send the two to different nodes.
   *
   * @param keys the keys of the change, which select the servers
   * @throws `store_unavailable` if too few replicas confirm; the change may still survive
   */
  async write<T>(
    call: RedisCall,
    keys: readonly string[],
    change: (isFirst: boolean) => Promise<T>,
    isRepeatable = true,
  ): Promise<T> {
    for (let isFirst = true; ; isFirst = false) {
      const { connectionEpoch } = this.#client
      const changed = change(isFirst)
      if (!this.isReplicated) return changed
      const [result, confirmed] = await this.#confirm(call, keys, changed)
      if (this.#client.connectionEpoch === connectionEpoch) {
        if (confirmed >= this.#client.replicas) return result
        this.#client.reportMissingReplicas()
        throw unavailable(new Error(`Only ${confirmed} replicas have the change.`))
      }
      if (!isRepeatable) throw unavailable(new Error('The connection was lost during the change.'))
    }
  }

  /** @returns the result of the change, and the number of replicas that have it */
  async #confirm<T>(
    call: RedisCall,
    keys: readonly string[],
    changed: Promise<T>,
  ): Promise<[result: T, confirmed: number]> {
    const { deadlineMs, isCluster, replicas } = this.#client
    const waitMs = Math.max(1, Math.floor(deadlineMs * replicaShare))
    const command = ['WAIT', String(replicas), String(waitMs)]
    const servers = isCluster ? keys : keys.slice(0, 1)
    const wait = async () => {
      const counts = await Promise.all(servers.map((key) => call.command(key, command)))
      return Math.min(...(counts as number[]))
    }
    // A change of several keys may take several commands, and an early `WAIT` would delay the second.
    if (isCluster || keys.length > 1) return [await changed, await wait()]
    const early = wait()
    const { sentCommands } = call
    const [result, confirmed] = await Promise.all([changed, early])
    // The change has sent another command after this `WAIT`, which therefore does not cover it.
    return [result, call.sentCommands === sentCommands ? confirmed : await wait()]
  }
}
