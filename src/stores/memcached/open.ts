import { setTimeout as sleep } from 'node:timers/promises'
import type { ConnectionOptions } from 'node:tls'
import type { TlsFiles } from '../server-url.ts'
import { hopelessness, unavailable } from './errors.ts'
import { MemcachedNode } from './node.ts'
import { type MemcachedTarget, nameOf, urlParser } from './url.ts'

export interface MemcachedOptions {
  /** The folder that relative paths in the URL start from. */
  readonly cwd?: string
  /** How long a call takes at most. */
  readonly deadlineMs?: number
  /** How long to wait for a first node to answer. */
  readonly openMs?: number
}

/** How many calls may wait for one node; each may hold a value of 64 KiB. */
const callsMax = 2_000
/** A connection over TLS may take longer than a call: the next ones profit from it. */
const connectMs = 1_000
const retryMs = 100

/** The nodes of a target in its order, not connected yet. @throws `config_invalid` */
export function nodesOf(
  { nodes, credentials, tls: files }: MemcachedTarget,
  { cwd = '.', deadlineMs = 250 }: MemcachedOptions,
): MemcachedNode[] {
  const tls = files === null ? null : tlsOptions(files, cwd)
  return nodes.map(
    (address) =>
      new MemcachedNode({ address, credentials, tls, connectMs }, { deadlineMs, callsMax }),
  )
}

/**
 * Waits for nodes. One that is not there is no reason to stay away from the others; one that refuses
 * our certificate or our password is an error of the configuration.
 *
 * @throws `store_unavailable`: soon when it is hopeless, else when no node has come in time
 */
export async function untilOneAnswers(
  target: MemcachedTarget,
  nodes: readonly MemcachedNode[],
  openMs = 5_000,
): Promise<void> {
  const untilMs = performance.now() + openMs
  for (;;) {
    const errors = await Promise.all(nodes.map(errorOf))
    for (const [at, error] of errors.entries()) {
      const detail = hopelessness(error)
      const address = target.nodes[at]
      if (detail !== null && address !== undefined) {
        throw unavailable(error, `${detail} (${nameOf(address)})`)
      }
    }
    if (errors.includes(null)) return
    if (performance.now() + retryMs > untilMs) {
      throw unavailable(errors[0], 'No memcached node answers.')
    }
    await sleep(retryMs)
  }
}

/** Why it can't be used; null when it can. */
function errorOf(node: MemcachedNode): Promise<unknown> {
  return node.connect().then(
    () => null,
    (error) => error,
  )
}

function tlsOptions(files: TlsFiles, cwd: string): ConnectionOptions {
  return {
    // Said here, so that no environment variable turns it off.
    rejectUnauthorized: true,
    minVersion: 'TLSv1.2',
    ...urlParser.readTlsFiles(files, cwd),
  }
}
