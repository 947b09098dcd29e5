import { Agent } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { exchangeAt } from '../client/exchange.ts'

/** How often each replica is asked until it refuses, and how often later, as new replicas come. */
const keenPauseMs = 40
const laterPauseMs = 1_000
/** So long a sign-out is watched keenly; one that takes longer is far too late anyway. */
const keenMsMax = 10_000

export interface Watched {
  /** The headers that were good until the sign-out. */
  readonly headers: Readonly<Record<string, string>>
  /** The addresses to ask; they change as replicas come and go. */
  readonly guards: () => readonly string[]
  /** For how long the headers would be good, had nobody signed out. */
  readonly lifeMs: number
  /** Aborted when the surge is over. */
  readonly signal: AbortSignal
}

/**
 * Asks every replica, directly, with what was good until a sign-out that has just been acknowledged.
 * @returns how long after that something was last accepted; 0 when never
 */
export async function watchSignOut({ headers, guards, lifeMs, signal }: Watched): Promise<number> {
  const agent = new Agent({ keepAlive: true })
  const startMs = performance.now()
  let biteMs = 0
  const ask = async (url: string) => {
    const sentMs = performance.now() - startMs
    const { status } = await exchangeAt(url, { method: 'GET', agent, headers })
    if (status >= 200 && status < 300) biteMs = Math.max(biteMs, sentMs)
    return status
  }
  const untilRefused = async (url: string) => {
    while (performance.now() - startMs < keenMsMax && !signal.aborted) {
      if ((await ask(url)) === 401 || !guards().includes(url)) return
      await sleep(keenPauseMs)
    }
  }
  await Promise.all(guards().map(untilRefused))
  while (performance.now() - startMs < lifeMs && !signal.aborted) {
    await sleep(laterPauseMs, undefined, { signal }).catch(() => {})
    await Promise.all(guards().map(ask))
  }
  agent.destroy()
  return biteMs
}
