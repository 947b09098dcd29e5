import { byId, el, svg } from './dom.ts'
import { type ReplicaResponse, type Second, shownSeconds } from './traffic.ts'

const width = 600
const height = 120
const columnWidth = width / shownSeconds
const gap = 2

/** A stacked bar chart with one bar per second. */
export class BarChart {
  readonly element: SVGSVGElement
  readonly #paths = new Map<string, SVGPathElement>()
  readonly #label: string

  /** @param label the accessible name */
  constructor(label: string) {
    this.#label = label
    const lines = [0, 0.5, 1].map((part) => {
      const y = 1 + part * (height - 2)
      return svg('line', { class: 'grid-line', x1: 0, x2: width, y1: y, y2: y })
    })
    this.element = svg(
      'svg',
      {
        viewBox: `0 0 ${width} ${height}`,
        preserveAspectRatio: 'none',
        role: 'img',
        'aria-label': label,
      },
      ...lines,
    )
  }

  /**
   * @param names the parts of a bar, from bottom to top
   * @param classOf the CSS class with the color of a part
   * @returns the value at the top of the chart
   */
  draw(
    seconds: readonly Second[],
    names: readonly string[],
    partsOf: (second: Second) => ReadonlyMap<string, number>,
    classOf: (name: string) => string,
  ): number {
    const columns = seconds.map((second) => partsOf(second))
    const sums = columns.map((parts) => [...parts.values()].reduce((sum, part) => sum + part, 0))
    const top = niceTop(Math.max(...sums))
    const heights = columns.map(() => 0)
    for (const name of names) {
      const bars = columns.flatMap((parts, at) => {
        const size = ((parts.get(name) ?? 0) / top) * height
        if (size === 0) return []
        heights[at] = (heights[at] ?? 0) + size
        const [x, y] = [at * columnWidth, height - heights[at]]
        return [`M${x} ${y}h${columnWidth - gap}v${size}h${gap - columnWidth}z`]
      })
      this.#path(name, classOf(name)).setAttribute('d', bars.join(''))
    }
    const last = sums.at(-1) ?? 0
    this.element.setAttribute('aria-label', `${this.#label}: ${last} in the last second`)
    return top
  }

  #path(name: string, className: string): SVGPathElement {
    let path = this.#paths.get(name)
    if (path === undefined) {
      path = svg('path', { class: className })
      this.#paths.set(name, path)
      this.element.append(path)
    }
    return path
  }
}

const tops = [5, 10, 15, 20, 30, 50, 75, 100, 150, 200]

/** The next round number. Bars above the last one are cut off. */
function niceTop(value: number): number {
  return tops.find((top) => top >= value) ?? 200
}

const maxMarks = 60

/** The last responses, one mark each, in the color of the replica. */
export class ResponseStrip {
  readonly #place = byId('responses')
  readonly #classOf: (replica: string) => string

  constructor(classOf: (replica: string) => string) {
    this.#classOf = classOf
    this.#place.append(...Array.from({ length: maxMarks }, () => el('span')))
  }

  add({ replica, request, status, tookMs, isFailure }: ReplicaResponse): void {
    const from = replica === null ? '' : ` from ${replica}`
    this.#place.firstElementChild?.remove()
    this.#place.append(
      el('span', {
        class: isFailure || replica === null ? 'fill-failure' : this.#classOf(replica),
        title: `${request}: ${status}${from}, ${Math.round(tookMs)} ms`,
      }),
    )
  }
}
