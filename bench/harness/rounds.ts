import type { Readings, Subject } from './scenario.ts'

/** The readings of a subject, one per round. */
export interface Series {
  readonly subject: string
  readonly limit?: string | undefined
  readonly readings: readonly Readings[]
}

/**
 * Measures every subject once per round, in the order A B C, C B A, A B C. Other work on the machine
 * affects all subjects, and no subject always follows the same one.
 */
export async function runRounds(
  subjects: readonly Subject[],
  rounds: number,
  onReading: (round: number, subject: string, readings: Readings) => void,
): Promise<Series[]> {
  const all = subjects.map((subject) => ({ subject, readings: [] as Readings[] }))
  for (let round = 1; round <= rounds; round++) {
    for (const { subject, readings } of round % 2 === 1 ? all : all.toReversed()) {
      readings.push(await subject.measure())
      onReading(round, subject.name, readings.at(-1) ?? {})
    }
  }
  return all.map(({ subject: { name, limit }, readings }) => ({ subject: name, limit, readings }))
}
