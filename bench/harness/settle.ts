/**
 * Every measured process loads this module first. V8 decides once, by the first ticks of a process, whether
 * optimized code or its runtime creates the objects of `process.nextTick`. The runtime takes six times the
 * time. After many ticks in a row it is optimized code.
 */
const ticks = 2000

for (let made = 0; made < ticks; made += 1) {
  await new Promise<void>((resolve) => process.nextTick(resolve))
}
