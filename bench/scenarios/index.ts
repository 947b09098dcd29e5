import type { Scenario } from '../harness/scenario.ts'
import { data } from './data.ts'
import { login } from './login.ts'
import { memory } from './memory.ts'
import { refresh, refreshBesideLogins } from './refresh.ts'
import { verify } from './verify.ts'

export const scenarios: readonly Scenario[] = [
  ...verify,
  memory,
  login,
  refresh,
  refreshBesideLogins,
  data,
]

/** The scenario of a name, or all of a family: `verify` is every `verify-…`. */
export function findScenarios(name: string): Scenario[] {
  const exact = scenarios.filter((scenario) => scenario.name === name)
  const found =
    exact.length > 0 ? exact : scenarios.filter((one) => one.name.startsWith(`${name}-`))
  if (found.length === 0) throw new Error(`There is no scenario ${name}.`)
  return found
}
