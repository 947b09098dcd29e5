import { algorithmNames } from '../../../src/tokens/algorithms.ts'
import type { Comparison, Scenario } from '../harness/scenario.ts'
import { loop } from '../harness/subjects.ts'

const repeated = 'one token repeated'
const fastJwt = 'fast-jwt, cache on'

export const verifyLoop: Scenario = {
  name: 'verify-loop',
  title: 'verifications in one process, of new tokens and of one repeated, without a server',
  async prepare(bench) {
    const module = new URL('../raw/verifier.ts', import.meta.url)
    const make = (name: string, ...args: string[]) => loop({ name, module, args }, bench)
    return {
      subjects: [
        ...algorithmNames.flatMap((alg) => [
          make(`${alg}, new tokens`, 'new', alg),
          make(`${alg}, raw`, 'raw', alg),
        ]),
        make(repeated, 'repeated'),
        make(fastJwt, 'fast-jwt'),
      ],
      comparisons: [
        ...algorithmNames.map((alg): Comparison => {
          const [subject, limit] = [`${alg}, new tokens`, `${alg}, raw`]
          return { subject, metric: 'per_core_second', limit, target: { atLeast: 0.9 } }
        }),
        { subject: repeated, metric: 'per_core_second', target: { atLeast: 1_000_000 } },
        { subject: repeated, metric: 'per_core_second', limit: fastJwt, target: { atLeast: 4 } },
      ],
    }
  },
}
