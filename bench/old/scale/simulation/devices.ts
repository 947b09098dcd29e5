import type { Random } from '../../fuzz/random.ts'
import { EventQueue } from './event-queue.ts'

export type Kind = 'refresh' | 'sign-in' | 'sign-out'

/** Something that a device asks of an issuer. */
export interface Arrival {
  readonly at_s: number
  readonly kind: Kind
}

export interface Crowd {
  /** How many are in use when it begins, each somewhere in the life of its access token. */
  readonly devices: number
  readonly ttl_s: number
  readonly jitter: number
  readonly signIns_per_second: number
  readonly signOuts_per_second: number
}

/** What a crowd of devices asks for until then, in the order of time. */
export function* arrivalsOf(crowd: Crowd, until_s: number, random: Random): Generator<Arrival> {
  const { devices, ttl_s, jitter, signIns_per_second, signOuts_per_second } = crowd
  const events = new EventQueue<Kind>()
  const add = (at_s: number, kind: Kind) => {
    if (at_s < until_s) events.add(at_s, kind)
  }
  const lifetime = () => ttl_s * (1 + jitter * (2 * uniform(random) - 1))
  for (let device = 0; device < devices; device++) add(ttl_s * uniform(random), 'refresh')
  const gapOf = (kind: Kind) => {
    const rate = kind === 'sign-in' ? signIns_per_second : signOuts_per_second
    return rate > 0 ? exponential(1 / rate, random) : Number.POSITIVE_INFINITY
  }
  add(gapOf('sign-in'), 'sign-in')
  add(gapOf('sign-out'), 'sign-out')
  let leaving = 0
  while (events.next_s < until_s) {
    const at_s = events.next_s
    const kind = events.take()
    if (kind !== 'refresh') add(at_s + gapOf(kind), kind)
    if (kind === 'sign-out') leaving += 1
    else if (kind === 'refresh' && leaving > 0) {
      // Any device is as good as another: the one that is due next has signed out instead.
      leaving -= 1
      continue
    } else add(at_s + lifetime(), 'refresh')
    yield { at_s, kind }
  }
}

/** From 0 to below 1. */
export function uniform(random: Random): number {
  return random.below(2 ** 32) / 2 ** 32
}

export function exponential(mean: number, random: Random): number {
  return -mean * Math.log1p(-uniform(random))
}

/** The same with an outage: whoever was due in it comes soon after its end. */
export function* delayedBy(
  arrivals: Iterable<Arrival>,
  outage: { readonly from_s: number; readonly to_s: number; readonly within_s: number },
  random: Random,
): Generator<Arrival> {
  const delayed = new EventQueue<Kind>()
  const due = function* (until_s: number) {
    while (delayed.next_s < until_s) {
      const at_s = delayed.next_s
      yield { at_s, kind: delayed.take() }
    }
  }
  for (const arrival of arrivals) {
    const { at_s, kind } = arrival
    if (at_s < outage.from_s || at_s >= outage.to_s) {
      yield* due(at_s)
      yield arrival
    } else delayed.add(outage.to_s + outage.within_s * uniform(random), kind)
  }
  yield* due(Number.POSITIVE_INFINITY)
}
