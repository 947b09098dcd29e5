/** How a cost grows with the size of what it is measured on: cost ≈ factor · size^exponent. */
export interface Growth {
  /** 0: it stays the same. 1: it grows in proportion. */
  readonly exponent: number
  /** By how much ten times the size multiplies the cost. */
  readonly tenfold: number
}

/** A size, and what was measured of it. */
export type Measured = readonly [size: number, value: number]

/**
 * The straight line through the logarithms that is nearest to all of them (least squares).
 *
 * @throws RangeError unless all is above 0 and there are two sizes
 */
export function growthOf(points: readonly Measured[]): Growth {
  const logs = points.map(([size, value]) => [Math.log10(size), Math.log10(value)] as const)
  if (logs.some((pair) => !pair.every(Number.isFinite))) throw new RangeError('no logarithm')
  const meanOf = (at: 0 | 1) => logs.reduce((sum, pair) => sum + pair[at], 0) / logs.length
  const [x, y] = [meanOf(0), meanOf(1)]
  const spread = logs.reduce((sum, [size]) => sum + (size - x) ** 2, 0)
  if (!(spread > 0)) throw new RangeError('it takes two sizes')
  const exponent = logs.reduce((sum, [size, value]) => sum + (size - x) * (value - y), 0) / spread
  return { exponent, tenfold: 10 ** exponent }
}
