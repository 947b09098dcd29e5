/** From values to places on a chart. */

export type Scale = (value: number) => number

export interface Range {
  readonly from: number
  readonly to: number
}

export function linearScale(domain: Range, range: Range): Scale {
  const span = domain.to - domain.from || 1
  return (value) => range.from + ((value - domain.from) / span) * (range.to - range.from)
}

/** Values below the domain are put at its start: a logarithm knows no zero. */
export function logScale(domain: Range, range: Range): Scale {
  const linear = linearScale({ from: Math.log(domain.from), to: Math.log(domain.to) }, range)
  return (value) => linear(Math.log(Math.max(value, domain.from)))
}

/** Round values from 0 up to the first that is not below `max`, about `count` steps. */
export function niceTicks(max: number, count = 4): number[] {
  if (!(max > 0)) return [0, 1]
  const rough = max / count
  const magnitude = 10 ** Math.floor(Math.log10(rough))
  const step = magnitude * ([1, 2, 2.5, 5, 10].find((one) => one * magnitude >= rough) ?? 10)
  const steps = Math.ceil(max / step - 1e-9)
  return Array.from({ length: steps + 1 }, (_, n) => roundOff(n * step))
}

/** The powers of ten around these values. */
export function decades(min: number, max: number): number[] {
  const first = Math.floor(Math.log10(min))
  const last = Math.max(first + 1, Math.ceil(Math.log10(max)))
  return Array.from({ length: last - first + 1 }, (_, n) => roundOff(10 ** (first + n)))
}

/** Without what binary fractions leave behind: 0.3, and not 0.30000000000000004. */
function roundOff(value: number): number {
  return Number(value.toPrecision(12))
}

/** `950`, `1.2k`, `12k`, `3.4M`: room on an axis is scarce. */
export function shortNumber(value: number): string {
  for (const [size, unit] of [
    [1e9, 'G'],
    [1e6, 'M'],
    [1e3, 'k'],
  ] as const) {
    if (Math.abs(value) >= size) return `${Number((value / size).toPrecision(2))}${unit}`
  }
  return String(Number(value.toPrecision(3)))
}

/** `0.5 ms`, `20 ms`, `3 s`. */
export function duration(value_ms: number): string {
  if (value_ms >= 1000) return `${Number((value_ms / 1000).toPrecision(2))} s`
  return `${Number(value_ms.toPrecision(2))} ms`
}

/** `1:30`: minutes and seconds since the start. */
export function clockTime(value_s: number): string {
  const whole_s = Math.round(value_s)
  return `${Math.floor(whole_s / 60)}:${String(whole_s % 60).padStart(2, '0')}`
}

/** Round instants, so many that their labels have room. */
export function timeTicks(until_s: number, count = 8): number[] {
  const step = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800].find((one) => until_s / one <= count)
  const step_s = step ?? 3600
  return Array.from({ length: Math.floor(until_s / step_s) + 1 }, (_, n) => n * step_s)
}
