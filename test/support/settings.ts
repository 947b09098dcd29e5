import { isGatepassError } from '../../src/core/errors.ts'

/** Returns the problems of settings, as `pointer detail`; none if `load` accepts them. */
export function problemsOf(load: () => unknown): string[] {
  try {
    load()
    return []
  } catch (error) {
    if (!isGatepassError(error, 'config_invalid')) throw error
    return (error.problems ?? []).map(({ pointer, detail }) => `${pointer} ${detail}`)
  }
}
