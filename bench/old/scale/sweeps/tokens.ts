import { createWriteStream } from 'node:fs'
import { freemem } from 'node:os'
import { join } from 'node:path'
import { finished } from 'node:stream/promises'
import { Child } from '../../harness/child.ts'
import type { Bench } from '../../harness/scenario.ts'
import { createSigningKey, signTokens } from '../../scenarios/access-tokens.ts'
import type { Figures } from '../result.ts'
import { formatSize, type Sweep } from '../sweep.ts'

/** So many are signed at once. */
const chunkLength = 10_000
/** In the heap and in the file that they are read from, and what a collection of garbage takes. */
const memory_bytes = 3_000

export const tokens: Sweep = {
  name: 'tokens',
  title: 'a verification of tokens that are all in the cache, in one process',
  of: 'tokens',
  sizes: [1e2, 1e3, 1e4, 1e5, 1e6],
  columns: [
    { key: 'ns', label: 'ns a verification', digits: 0, tenfoldUnder: 1.1 },
    { key: 'map_ns', label: 'ns of a bare Map', digits: 0, tenfoldUnder: 1.1 },
    { key: 'bytes', label: 'bytes a token', digits: 0, tenfoldUnder: 1.1 },
    { key: 'reckoned_bytes', label: 'as the cache reckons', digits: 0 },
  ],
  refuses: (size) => (size * memory_bytes > freemem() ? 'too little memory is free' : null),
  async prepare(sizes, bench, tell) {
    const { key, jwks } = await createSigningKey()
    const path = join(bench.scratch, 'tokens')
    const most = Math.max(...sizes)
    tell(`signing ${formatSize(most)} tokens`)
    const file = createWriteStream(path)
    for (let done = 0; done < most; done += chunkLength) {
      const chunk = await signTokens(Math.min(chunkLength, most - done), key)
      file.write(`${chunk.join('\n')}\n`)
    }
    await finished(file.end())
    return sizes.map((size) => ({
      size,
      measure: () => measure([JSON.stringify(jwks), path, String(size)], bench),
    }))
  },
}

async function measure(args: readonly string[], bench: Bench): Promise<Figures> {
  const child = new Child(
    {
      name: 'tokens',
      module: new URL('../workers/tokens.ts', import.meta.url),
      args: [...args, String(bench.options.duration_s)],
      env: { NODE_OPTIONS: '--max-old-space-size=6144' },
      core: 'server',
    },
    bench.cores,
  )
  try {
    return await child.message<Figures>()
  } finally {
    await child.stop()
  }
}
