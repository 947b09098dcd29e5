import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Child } from '../../harness/child.ts'
import type { Bench } from '../../harness/scenario.ts'
import { startServer } from '../../harness/server.ts'
import type { Figures } from '../result.ts'
import { type SessionIssuer, sessionIssuer } from '../session-issuer.ts'
import type { Sweep } from '../sweep.ts'

const tokenCount = 2_048
/** So long that nothing expires while it is measured. */
const kept_s = 3_600

export const revocations: Sweep = {
  name: 'revocations',
  title: `a verification of ${tokenCount.toLocaleString('en-US')} tokens in turn, and the load of what was revoked`,
  of: 'revocations',
  sizes: [1, 10, 1e2, 1e3, 1e4, 1e5],
  columns: [
    { key: 'ns', label: 'ns a verification', digits: 0, tenfoldUnder: 1.1 },
    { key: 'load_ms', label: 'ms to load keys and all', digits: 1, tenfoldUnder: 11 },
    { key: 'snapshot_bytes', label: 'bytes of the snapshot', digits: 0, tenfoldUnder: 11 },
  ],
  async prepare(sizes, bench) {
    const settings = { GATEPASS_ACCESS_TTL_S: String(kept_s) }
    const subjects = []
    for (const size of sizes) {
      const counts = { live: tokenCount, ended: size, kept_s }
      const issuer = await sessionIssuer(bench, `issuer-${size}`, settings, counts)
      subjects.push({ size, measure: () => measure(issuer, size, bench) })
    }
    return subjects
  },
}

async function measure(issuer: SessionIssuer, entries: number, bench: Bench): Promise<Figures> {
  const server = await startServer(issuer.service.spec(), bench)
  try {
    const path = join(bench.scratch, 'tokens')
    writeFileSync(path, (await issuer.accessTokens(server.url)).map((one) => `${one}\n`).join(''))
    const snapshot = await (await fetch(`${server.url}/revocations`)).arrayBuffer()
    const args = [server.url, path, tokenCount, entries, bench.options.duration_s].map(String)
    const module = new URL('../workers/revocations.ts', import.meta.url)
    const child = new Child({ name: 'revocations', module, args, core: 'server' }, bench.cores)
    try {
      const figures = await child.message<Figures>()
      return { ...figures, snapshot_bytes: snapshot.byteLength }
    } finally {
      await child.stop()
    }
  } finally {
    await server.stop()
  }
}
