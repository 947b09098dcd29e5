import type { FieldProblem } from '../core/errors.ts'
import { environmentName } from './setting.ts'
import { settings } from './settings.ts'

/** Variables of ours that are not settings. */
const otherVariables = ['GATEPASS_CONFIG']

/**
 * Names that look like a setting and are none. A settings file is ours alone, so every unknown name
 * in it is refused. The environment is shared (Kubernetes puts `GATEPASS_PORT_80_TCP` there for a
 * service named gatepass), so only what looks like a slip of the finger is.
 */
export function unknownNames(
  env: Readonly<Record<string, string | undefined>>,
  file: Readonly<Record<string, unknown>>,
): FieldProblem[] {
  const names: string[] = settings.map((setting) => setting.name)
  const variables = [
    ...names.flatMap((name) => [environmentName(name), `${environmentName(name)}_FILE`]),
    ...otherVariables,
  ]
  const problems: FieldProblem[] = []
  for (const name of Object.keys(file)) {
    if (names.includes(name)) continue
    const meant = nearest(name, names)
    problems.push({ pointer: name, detail: `is not a setting${meant && `; is ${meant} meant?`}` })
  }
  for (const name of Object.keys(env)) {
    if (!name.startsWith('GATEPASS_') || variables.includes(name)) continue
    const meant = nearest(name, variables)
    if (meant) problems.push({ pointer: name, detail: `is not a setting; is ${meant} meant?` })
  }
  return problems
}

/** The name that is at most two slips away, or ''. */
function nearest(name: string, names: readonly string[]): string {
  return names.find((other) => distance(name, other) <= 2) ?? ''
}

/** How many letters must be added, dropped or changed to turn one name into the other. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const changed = at(row, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(changed, at(row, j) + 1, at(next, j - 1) + 1))
    }
    row = next
  }
  return at(row, b.length)
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? Number.POSITIVE_INFINITY
}
