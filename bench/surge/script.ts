import type { Kind } from './system.ts'

/** The timeline of a surge, the same for every system. Its unit is a beat. */

export type Disruption = `kill-${Kind}` | `add-${Kind}` | 'fail-over' | 'rotate-keys'

export interface Step {
  readonly atMs: number
  /** `sign-out` signs users out everywhere. */
  readonly name: Disruption | 'sign-out'
}

export type Script = ReturnType<typeof createScript>

/** The load as a factor, and how many beats it lasts. */
const loadPlan: readonly (readonly [factor: number, beats: number])[] = [
  [1, 2],
  [3, 1],
  [10, 9],
  [3, 1],
  [1, 2],
]

/** Nearly all disruptions happen at ten times the load. */
const stepPlan: readonly (readonly [beat: number, name: Step['name']])[] = [
  [1, 'sign-out'],
  [3.4, 'rotate-keys'],
  [3.8, 'kill-verifier'],
  [4.4, 'kill-shop'],
  [4.8, 'sign-out'],
  [5.2, 'add-verifier'],
  [5.6, 'add-shop'],
  [6, 'kill-issuer'],
  [6.5, 'sign-out'],
  [7, 'fail-over'],
  [9.4, 'add-issuer'],
  [9.6, 'rotate-keys'],
  [9.8, 'kill-verifier'],
  [10.6, 'sign-out'],
  [11, 'add-verifier'],
  [13, 'sign-out'],
]

/** @param beatMs so long that a fail-over, of two beats, ends while the load is high */
export function createScript(beatMs: number) {
  let beat = 0
  const levels = loadPlan.map(([factor, beats]) => {
    const startMs = beat * beatMs
    beat += beats
    return { startMs, endMs: beat * beatMs, factor }
  })
  const steps = stepPlan.map(([at, name]) => ({ atMs: at * beatMs, name }))
  return { levels, steps, endMs: beat * beatMs }
}

export const noScript: Script = { levels: [], steps: [], endMs: 0 }

/** Returns the factor of the load at an instant; 0 after the end. */
export function factorAt({ levels }: Script, tMs: number): number {
  return levels.find(({ endMs }) => tMs < endMs)?.factor ?? 0
}
