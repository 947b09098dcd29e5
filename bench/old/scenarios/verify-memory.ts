import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Child } from '../harness/child.ts'
import type { Bench, Readings, Scenario, Subject } from '../harness/scenario.ts'
import { createSigningKey, signTokens } from './access-tokens.ts'
import { tokenCounts } from './guarded-traffic.ts'

const residentWithin_mib = 120
/** MiB, of the three that V8 has for young objects. */
const youngSizes = [8, 2]
const byDefault = 'as Node is by default'
const usedTwice = (subject: string) => `${subject}, each used twice`
const withYoung = (size: number) => `--max-semi-space-size=${size}`

export const verifyMemory: Scenario = {
  name: 'verify-memory',
  title: 'by how much a process grows that has checked 100,000 tokens and keeps them',
  async prepare(bench) {
    const { key, jwks } = await createSigningKey()
    const path = join(bench.scratch, 'tokens')
    const tokens = await signTokens(tokenCounts.many, key)
    writeFileSync(path, `${tokens.join('\n')}\n`)
    const args = [JSON.stringify(jwks), path, String(tokenCounts.many)]
    const processes = [
      { name: byDefault, env: {} },
      ...youngSizes.map(withYoung).map((flag) => ({ name: flag, env: { NODE_OPTIONS: flag } })),
    ]
    return {
      subjects: [
        ...processes.map(({ name, env }) => grown(name, [...args, '1'], env, bench)),
        ...processes.map(({ name, env }) => grown(usedTwice(name), [...args, '2'], env, bench)),
      ],
      comparisons: processes.map(({ name }) => ({
        subject: name,
        metric: 'resident_mib',
        target: { under: residentWithin_mib },
      })),
    }
  },
}

function grown(
  name: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  bench: Bench,
): Subject {
  const module = new URL('../raw/kept-tokens.ts', import.meta.url)
  return {
    name,
    async measure() {
      const child = new Child({ name, module, args, env, core: 'server' }, bench.cores)
      try {
        return await child.message<Readings>()
      } finally {
        await child.stop()
      }
    },
  }
}
