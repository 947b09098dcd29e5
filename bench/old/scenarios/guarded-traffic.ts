import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Bench } from '../harness/scenario.ts'
import type { Traffic } from '../load/traffic.ts'

/** One token says what a look-up costs; so many in turn, what a busy service meets. */
export const tokenCounts = { one: 1, some: 2048, many: 100_000 }
/** So few tokens are kept that each is new when it comes again. */
export const smallCache_bytes = 1024 ** 2
/** What a route answers. */
export const body = JSON.stringify({ orders: [] })

/** A request to the route with each of these tokens in turn. */
export function trafficOf(tokens: readonly string[], bench: Bench): Traffic {
  return linesTraffic(`tokens-${tokens.length}`, 'Authorization: Bearer ', tokens, bench)
}

/** The same with a line of any header. */
export function linesTraffic(
  name: string,
  header: string,
  lines: readonly string[],
  bench: Bench,
  path = '/verify',
): Traffic {
  const file = join(bench.scratch, name)
  writeFileSync(file, lines.join('\n'))
  return { kind: 'tokens', path, header, file }
}
