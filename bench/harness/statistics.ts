/** Returns the middle value, or the mean of the two middle values. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const upper = sorted[Math.floor(sorted.length / 2)]
  const lower = sorted[Math.ceil(sorted.length / 2) - 1]
  if (upper === undefined || lower === undefined) throw new RangeError('there is no value')
  return (lower + upper) / 2
}

/** Returns a percentile by nearest rank. */
export function percentile(sorted: ArrayLike<number>, share: number): number {
  const value = sorted[Math.ceil(sorted.length * share) - 1]
  if (value === undefined) throw new RangeError('there is no value')
  return value
}

/** Student's t at 97.5 %, by degrees of freedom from 1 on. */
const quantiles = [
  12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145,
  2.131, 2.12, 2.11, 2.101, 2.093, 2.086, 2.08, 2.074, 2.069, 2.064, 2.06, 2.056, 2.052, 2.048,
  2.045, 2.042,
]
const leastQuantile = 1.96

/**
 * Computes a paired t-interval on the logarithms of the ratios. Both values of a round were affected by
 * the same other work on the machine. By logarithms, twice and half as fast are equal distances.
 *
 * @returns the geometric mean of the ratios of the rounds, and both ends of its 95 % interval
 * @throws RangeError with fewer than two rounds
 */
export function ratioOf(values: readonly number[], others: readonly number[]) {
  if (values.length !== others.length) throw new RangeError('the rounds are not pairs')
  const logs = values.map((value, round) => Math.log(value / (others[round] ?? Number.NaN)))
  const degrees = logs.length - 1
  if (degrees < 1) throw new RangeError('it takes two rounds at least')
  const mean = logs.reduce((sum, log) => sum + log, 0) / logs.length
  const variance = logs.reduce((sum, log) => sum + (log - mean) ** 2, 0) / degrees
  const quantile = quantiles[degrees - 1] ?? leastQuantile
  const half = quantile * Math.sqrt(variance / logs.length)
  return { value: Math.exp(mean), low: Math.exp(mean - half), high: Math.exp(mean + half) }
}
