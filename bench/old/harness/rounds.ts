import type { Readings } from './scenario.ts'

/** A subject's readings, one for each round. */
export interface Series<R = Readings> {
  readonly subject: string
  readonly readings: readonly R[]
}

/**
 * Measures every subject once in each round, A B C, C B A, A B C: whatever else the machine does
 * meets them all alike, and none always comes after the same one.
 */
export async function runRounds<R>(
  subjects: readonly { readonly name: string; measure(): Promise<R> }[],
  rounds: number,
  onReading: (round: number, subject: string, readings: R) => void,
): Promise<Series<R>[]> {
  const bySubject = new Map<string, R[]>(subjects.map(({ name }) => [name, []]))
  for (let round = 0; round < rounds; round++) {
    for (const subject of round % 2 === 0 ? subjects : [...subjects].reverse()) {
      const readings = await subject.measure()
      bySubject.get(subject.name)?.push(readings)
      onReading(round + 1, subject.name, readings)
    }
  }
  return [...bySubject].map(([subject, readings]) => ({ subject, readings }))
}
