import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Scenario } from '../harness/scenario.ts'
import { loopSubject } from '../harness/subjects.ts'
import { createSigner } from '../tokens.ts'

const count = 100_000

export const memory: Scenario = {
  name: 'memory',
  title: 'the growth of a process that verifies and caches 100,000 tokens',
  async ours(bench) {
    const signer = await createSigner()
    const file = join(bench.scratch, 'tokens')
    writeFileSync(file, (await signer.signMany(count)).join('\n'))
    const trust = JSON.stringify(signer.trust)
    const growth = (name: string, uses: number) =>
      loopSubject(name, 'programs/memory', [trust, file, String(uses)], bench)
    return [growth('each verified once', 1), growth('each verified twice', 2)]
  },
}
