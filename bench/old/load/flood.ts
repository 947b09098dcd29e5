import { once } from 'node:events'
import autocannon from 'autocannon'
import type { LoadEvents, LoadSpec, RunningLoad } from './load.ts'
import { startTokenFlood } from './token-flood.ts'
import { createSetUp } from './traffic.ts'

/** autocannon looks at the clock once a second only: it is told to go on, and stopped by us. */
const slack_s = 2

/** As much as the server takes: each connection asks again as soon as it is answered. */
export async function startFlood(
  spec: LoadSpec,
  longest_s: number,
  events: LoadEvents,
): Promise<RunningLoad> {
  const { url, connections, traffic } = spec
  if (traffic.kind === 'tokens') return startTokenFlood({ ...spec, traffic }, events)
  const { promise: ended, resolve } = Promise.withResolvers<void>()
  const run = autocannon(
    {
      url,
      connections,
      duration: longest_s + slack_s,
      setupClient: createSetUp(traffic, connections, events.failed),
    },
    (error, result) => {
      if (error !== null) events.failed(error.message)
      if (result?.errors > 0) events.failed(`${result.errors} requests had no answer`)
      resolve()
    },
  )
  run.on('response', (_client: unknown, status: number, _bytes: number, latency_ms: number) => {
    events.answered(status, latency_ms)
  })
  // Every connection has its requests built by then.
  await once(run, 'start')
  return { ended, stop: () => run.stop() }
}
