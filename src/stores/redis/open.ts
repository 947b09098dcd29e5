import { RedisLink } from './client.ts'
import { connectionMaker } from './connection.ts'
import { parseRedisUrl } from './url.ts'

export interface RedisOptions {
  /** The folder that relative paths in the URL start from. */
  readonly cwd?: string
  /** How long a call takes at most. */
  readonly deadlineMs?: number
  /** How long to wait for a Redis that is not there yet. */
  readonly openMs?: number
}

/** Some round trips: to a sentinel, to the primary that it names, and who we are. */
const connectMsMin = 1_000
/** How many commands or calls may wait. */
const queueMax = 10_000

/**
 * @param lanes how many connections to each server
 * @throws `config_invalid`, `store_unavailable`
 */
export function openLink(url: string, options: RedisOptions, lanes: 1 | 2 = 1): Promise<RedisLink> {
  const { cwd = '.', deadlineMs = 1_000, openMs = 5_000 } = options
  const connectMs = Math.max(deadlineMs, connectMsMin)
  const limits = { silenceMs: connectMs, queueMax, lanes }
  const make = connectionMaker(parseRedisUrl(url), cwd, limits)
  return RedisLink.open(make, { deadlineMs, connectMs, callsMax: queueMax, openMs })
}
