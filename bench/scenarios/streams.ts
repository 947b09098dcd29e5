import { setTimeout as sleep } from 'node:timers/promises'
import { openSessionStore } from '../../src/stores/open-stores.ts'
import { processorTime_s, resident_mib } from '../harness/machine.ts'
import { startProgram } from '../harness/processes.ts'
import type { Bench, Readings, Scenario } from '../harness/scenario.ts'
import { createIssuer, type Issuer } from '../issuer.ts'

const revocationsPerRound = 10
const tokenLifetimeMs = 300_000

export const streams: Scenario = {
  name: 'scale-streams',
  title: 'verifiers that follow one issuer, with one revocation a second',
  async ours(bench) {
    return [100, 1_000, 10_000].map((count) => {
      const issuer = createIssuer({ name: `streams-${count}`, users: 1 }, bench)
      const name = `${count.toLocaleString('en-US')} verifiers`
      return { name, measure: () => measureStreams(issuer, count, bench) }
    })
  },
}

async function measureStreams(issuer: Issuer, count: number, bench: Bench): Promise<Readings> {
  const server = await issuer.start()
  const store = await openSessionStore(server.sessionsUrl, '.')
  const { port } = new URL(server.url)
  const program = startProgram('programs/streams', [port, String(count)], bench, { core: 'load' })
  try {
    await program.message()
    const idle_busy = await busyDuring(server.pid, () => sleep(bench.options.duration_s * 1000))
    const server_busy = await busyDuring(server.pid, async () => {
      for (let n = 0; n < revocationsPerRound; n++) {
        program.send(Date.now())
        await store.revokeAll(`user-${n}`, Date.now(), tokenLifetimeMs)
        await sleep(1_000)
      }
    })
    const arrived = program.message<Readings>()
    program.send(0)
    const used = { idle_busy, server_busy, resident_mib: resident_mib(server.pid) }
    return { ...(await arrived), ...used }
  } finally {
    await program.stop()
    await store.close()
    await server.stop()
  }
}

/** Returns the share of a core that a process uses while some work runs. */
async function busyDuring(pid: number, work: () => Promise<unknown>): Promise<number> {
  const [startMs, before_s] = [performance.now(), processorTime_s(pid)]
  await work()
  return (1000 * (processorTime_s(pid) - before_s)) / (performance.now() - startMs)
}
