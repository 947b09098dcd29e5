import type { Scenario } from '../harness/scenario.ts'
import { cores } from './cores.ts'
import { data } from './data.ts'
import { login } from './login.ts'
import { memory } from './memory.ts'
import { oauth } from './oauth.ts'
import { refresh } from './refresh.ts'
import { scale } from './scale.ts'
import { coldStart } from './start.ts'
import { streams } from './streams.ts'
import { verify } from './verify.ts'

const families = [verify, memory, login, refresh, oauth, data, scale, cores, streams, coldStart]
export const scenarios: readonly Scenario[] = families.flat()

/** Returns scenarios by name or by prefix: `verify` is every `verify-…`. */
export function findScenarios(names: readonly string[]): readonly Scenario[] {
  const found = names.flatMap((name) => {
    const exact = scenarios.filter((one) => one.name === name)
    const all =
      exact.length > 0 ? exact : scenarios.filter((one) => one.name.startsWith(`${name}-`))
    if (all.length === 0) throw new Error(`There is no scenario ${name}.`)
    return all
  })
  return [...new Set(found)]
}
