import type { Random } from '../../fuzz/random.ts'
import type { Arrival, Kind } from './devices.ts'
import { EventQueue } from './event-queue.ts'

/**
 * Servers of one kind, each with a line of its own, first come first served. Whoever comes goes to
 * any of them, as a balancer that knows nothing sends them and as a hash does.
 */
export class Station {
  readonly #freeAt_s: Float64Array
  readonly #random: Random

  constructor(servers: number, random: Random) {
    this.#freeAt_s = new Float64Array(servers)
    this.#random = random
  }

  /**
   * @param at_s not before that of the call before
   * @returns when it is done
   */
  serve(at_s: number, service_s: number): number {
    const server = this.#random.below(this.#freeAt_s.length)
    const start_s = Math.max(at_s, this.#freeAt_s[server] ?? 0)
    this.#freeAt_s[server] = start_s + service_s
    return start_s + service_s
  }
}

/** Where requests go, and for how long. */
export interface Plant {
  /** The first stop of each kind. */
  readonly issuers: Readonly<Record<Kind, { readonly station: Station; service_s(): number }>>
  readonly store: { readonly station: Station; service_s(): number }
}

/** One request, from when it came to when it was answered. */
export interface Journey extends Arrival {
  readonly left_s: number
}

/** Sends requests through an issuer and then the store, in the order in which they get there. */
export function* journeysOf(arrivals: Iterable<Arrival>, plant: Plant): Generator<Journey> {
  const onTheWay = new EventQueue<Arrival>()
  const { station, service_s } = plant.store
  const finish = function* (until_s: number) {
    while (onTheWay.next_s <= until_s) {
      const at_s = onTheWay.next_s
      const left_s = station.serve(at_s, service_s())
      yield { ...onTheWay.take(), left_s }
    }
  }
  for (const arrival of arrivals) {
    yield* finish(arrival.at_s)
    const first = plant.issuers[arrival.kind]
    onTheWay.add(first.station.serve(arrival.at_s, first.service_s()), arrival)
  }
  yield* finish(Number.MAX_VALUE)
}
