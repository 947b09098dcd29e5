import { byId, el } from './dom.ts'
import type { Answered } from './traffic.ts'

const shownMax = 60

/** The last answers, one mark each, in the colour of the replica that gave it. */
export class AnswerStrip {
  readonly #place = byId('answers')
  readonly #classOf: (replica: string) => string

  constructor(classOf: (replica: string) => string) {
    this.#classOf = classOf
    this.#place.append(...Array.from({ length: shownMax }, () => el('span')))
  }

  add({ replica, request, status, tookMs, isFailure }: Answered): void {
    const by = replica === null ? '' : ` by ${replica}`
    this.#place.firstElementChild?.remove()
    this.#place.append(
      el('span', {
        class: isFailure || replica === null ? 'fill-failure' : this.#classOf(replica),
        title: `${request}: ${status}${by}, ${Math.round(tookMs)} ms`,
      }),
    )
  }
}
