import t from 'tap'
import { freePort, freePorts, isFree } from '../../scripts/free-port.ts'

t.test('a port is handed out once, with those above it', async (t) => {
  const above = [0, 1, 100]
  const bases = await Promise.all(Array.from({ length: 50 }, () => freePorts(above)))
  const single = await Promise.all(Array.from({ length: 200 }, freePort))
  const all = [...bases.flatMap((base) => above.map((distance) => base + distance)), ...single]
  t.equal(new Set(all).size, 350)
  t.ok(Math.min(...all) >= 20_000 && Math.max(...all) < 32_000)
  t.ok(await isFree(bases[0] ?? 0), 'for a program to listen on')
})
