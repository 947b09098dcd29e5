import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Scenario } from '../harness/scenario.ts'
import { looped } from '../harness/subjects.ts'
import { createSigner } from '../tokens.ts'

const count = 100_000

export const memory: Scenario = {
  name: 'memory',
  title: 'by how much a process grows that has verified 100,000 tokens and keeps them',
  async ours(bench) {
    const signer = await createSigner()
    const file = join(bench.scratch, 'tokens')
    writeFileSync(file, (await signer.signMany(count)).join('\n'))
    const grown = (name: string, uses: number) =>
      looped(name, 'programs/memory', [JSON.stringify(signer.trust), file, String(uses)], bench)
    return [grown('each verified once', 1), grown('each verified twice', 2)]
  },
}
