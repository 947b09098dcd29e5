import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '../../../../scripts/free-port.ts'
import type { Bench } from '../../harness/scenario.ts'
import { startDaemon } from '../../stores/daemon.ts'
import { withRedis } from '../../stores/redis.ts'

/** A Redis with no replica that keeps nothing on disk: what carts should not be in. */
export interface LoneRedis {
  readonly url: string
  /** Kills it and starts it again, with nothing in it. */
  loseAll(): Promise<void>
}

export async function startLoneRedis(bench: Bench): Promise<LoneRedis> {
  const port = await freePort()
  const cwd = join(bench.scratch, `redis-${port}`)
  mkdirSync(cwd)
  const url = `redis://127.0.0.1:${port}`
  const start = () =>
    startDaemon(
      {
        command: ['redis-server', '--port', String(port), '--save', '', '--bind', '127.0.0.1'],
        cwd,
        stopSignal: 'SIGKILL',
        isReady: () => withRedis(url, (redis) => redis.ping()),
      },
      bench,
    )
  let pid = await start()
  const loseAll = async () => {
    process.kill(pid, 'SIGKILL')
    pid = await start()
  }
  return { url, loseAll }
}
