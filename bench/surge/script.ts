import type { Kind } from './system.ts'

/** The timeline, the same for every system. */

export type ActionName = `kill-${Kind}` | `add-${Kind}` | 'fail-over' | 'rotate-keys'

export interface Step {
  readonly atMs: number
  /** For `sign-out`, the load ends all sessions of a user. */
  readonly name: ActionName | 'sign-out'
}

export type Script = ReturnType<typeof createScript>

const levels: readonly (readonly [factor: number, beats: number])[] = [
  [1, 2],
  [3, 1],
  [10, 9],
  [3, 1],
  [1, 2],
]

/** In beats since the surge began. Nearly all disruptions happen at ten times the load. */
const plan: readonly (readonly [beat: number, name: Step['name']])[] = [
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
  [9.8, 'kill-verifier'],
  [10.2, 'rotate-keys'],
  [10.6, 'sign-out'],
  [11, 'add-verifier'],
  [13, 'sign-out'],
]

/** @param beatMs length of a beat; a fail-over takes two beats, and must end while the load is high */
export function createScript(beatMs: number) {
  let beat = 0
  const stretches = levels.map(([factor, beats]) => {
    const startMs = beat * beatMs
    beat += beats
    return { startMs, endMs: beat * beatMs, factor }
  })
  const steps = plan.map(([at, name]) => ({ atMs: at * beatMs, name }))
  return { stretches, steps, endMs: beat * beatMs }
}

export const noScript: Script = { stretches: [], steps: [], endMs: 0 }

/** The factor at an instant; 0 when it is over. */
export function factorAt({ stretches }: Script, tMs: number): number {
  return stretches.find(({ endMs }) => tMs < endMs)?.factor ?? 0
}
