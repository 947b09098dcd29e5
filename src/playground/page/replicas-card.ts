import type { PlaygroundState, ReplicaKind, ReplicaState } from '../api.ts'
import { button, byId, el, notify, setText, svg } from './dom.ts'
import type { Page } from './page.ts'
import { controls } from './server.ts'
import { type ReplicaResponse, type Second, shownSeconds } from './traffic.ts'

const colorCount = 8
const failures = ['failures']

/** Starts the list of replicas with their traffic, and the buttons that stop and add them. */
export function startReplicasCard({ feed, traffic }: Page): void {
  const rows = new ReplicaRows(feed)
  const chart = new BarChart('Requests per second by replica')
  const failureChart = new BarChart('Failures per second')
  byId('requests-chart').append(chart.element)
  byId('failures-chart').append(failureChart.element)
  const strip = new ResponseStrip((name) => rows.classOf(name))
  traffic.onResponse((response) => {
    strip.add(response)
    if (response.replica !== null) setText(byId('last-replica'), response.replica)
  })
  feed.onState((state) => {
    traffic.hasShop = state.replicas.some(({ kind, ready }) => kind === 'shop' && ready)
    rows.show(state)
    showAdders(state)
  })
  for (const kind of ['verifier', 'shop'] as const) {
    byId(`add-${kind}`).replaceWith(adder(kind, feed))
  }
  startNoReplicaWarning(feed)
  startRates(traffic)
  setInterval(() => {
    const { statistics } = traffic
    const seconds = statistics.lastSeconds(performance.now())
    const names = [...statistics.totals.keys()].sort()
    const top = chart.draw(
      seconds,
      names,
      ({ responses }) => responses,
      (name) => rows.classOf(name),
    )
    setText(byId('requests-top'), String(top))
    failureChart.draw(
      seconds,
      failures,
      (second) => new Map([['failures', second.failures]]),
      () => 'fill-failure',
    )
    setText(byId('failures'), String(statistics.failures))
    byId('failures').classList.toggle('bad', statistics.failures > 0)
    rows.count(statistics.totals, seconds.at(-1)?.responses ?? new Map())
  }, 1_000)
}

function startRates(traffic: Page['traffic']): void {
  const form = byId<HTMLFormElement>('rates')
  const apply = () => traffic.setRate(Number(new FormData(form).get('rate')))
  form.addEventListener('change', apply)
  apply()
}

function adder(kind: ReplicaKind, feed: Page['feed']): HTMLButtonElement {
  return button(`Add a ${kind}`, { id: `add-${kind}`, class: 'secondary' }, async () => {
    const { name } = await controls.addReplica(kind)
    await feed.ask()
    notify(
      `${name} has started. It fetched the public keys and accepts the tokens of every user.`,
      'good',
    )
  })
}

function showAdders({ kinds, replicas, max_replicas }: PlaygroundState): void {
  for (const kind of ['verifier', 'shop'] as const) {
    const isFull = replicas.length >= max_replicas
    const add = byId(`add-${kind}`)
    add.hidden = !kinds.includes(kind)
    add.title = isFull ? `The limit is ${max_replicas} replicas. Stop one first.` : ''
  }
}

interface Row {
  readonly element: HTMLLIElement
  readonly state: HTMLElement
  readonly total: HTMLElement
  readonly bar: HTMLElement
  readonly stop: HTMLButtonElement
}

/** One row per replica, including the last replicas that were stopped. */
class ReplicaRows {
  readonly #feed: Page['feed']
  readonly #rows = new Map<string, Row>()
  readonly #order: string[] = []
  readonly #list = byId('replicas')

  constructor(feed: Page['feed']) {
    this.#feed = feed
  }

  /** Returns the color of a replica, which does not change. */
  classOf(name: string): string {
    if (!this.#order.includes(name)) this.#order.push(name)
    return `fill-${this.#order.indexOf(name) % colorCount}`
  }

  show({ replicas }: PlaygroundState): void {
    for (const replica of replicas) this.#rowOf(replica)
    for (const [name, row] of this.#rows) {
      const replica = replicas.find((one) => one.name === name)
      const state = replica === undefined ? 'stopped' : replica.ready ? 'ready' : 'starting'
      setText(row.state, state)
      row.element.dataset.state = state
      row.stop.hidden = state !== 'ready'
    }
    this.#removeOldRows()
  }

  count(totals: ReadonlyMap<string, number>, last: ReadonlyMap<string, number>): void {
    const most = Math.max(1, ...last.values())
    for (const [name, { total, bar }] of this.#rows) {
      setText(total, String(totals.get(name) ?? 0))
      bar.style.setProperty('--part', String((last.get(name) ?? 0) / most))
    }
  }

  #rowOf({ name, kind }: ReplicaState): void {
    if (this.#rows.has(name)) return
    const fill = this.classOf(name)
    const state = el('span', { class: 'state' })
    const total = el('span', { class: 'total' }, '0')
    const bar = el('span', { class: `share ${fill}`, 'aria-hidden': 'true' })
    const stop = button('Stop', { class: 'small danger', 'aria-label': `Stop ${name}` }, () =>
      this.#stop(name, kind),
    )
    const element = el(
      'li',
      { 'data-name': name, 'data-kind': kind },
      el('span', { class: `swatch ${fill}`, 'aria-hidden': 'true' }),
      el('span', { class: 'name' }, name),
      state,
      el('span', { class: 'share-track' }, bar),
      el('span', { class: 'count' }, total, el('span', { class: 'unit' }, ' responses')),
      stop,
    )
    this.#rows.set(name, { element, state, total, bar, stop })
    this.#list.append(element)
  }

  async #stop(name: string, kind: ReplicaKind): Promise<void> {
    // The button disappears with the replica; the focus moves to the list.
    this.#list.focus()
    await controls.stopReplica(name)
    await this.#feed.ask()
    const hasOthers = this.#feed.last?.replicas.some(
      (one) => one.kind === kind && one.name !== name && one.ready,
    )
    const others = hasOthers
      ? 'Requests go to the other replicas.'
      : `It was the last ${kind}: start one.`
    notify(`${name} was killed. ${others}`, hasOthers ? 'plain' : 'bad')
  }

  /** Keeps the rows of the last three stopped replicas. */
  #removeOldRows(): void {
    const stopped = [...this.#rows].filter(([, { element }]) => element.dataset.state === 'stopped')
    for (const [name, { element }] of stopped.slice(0, -3)) {
      element.remove()
      this.#rows.delete(name)
    }
  }
}

/** Warns when no replica of a kind is left, and offers to start one. */
function startNoReplicaWarning(feed: Page['feed']): void {
  const place = byId('no-replica')
  const seen = new Set<ReplicaKind>(['verifier'])
  let shown = ''
  feed.onState((state) => {
    // The shop starts when the page is opened, so it is missing only after it was seen once.
    for (const { kind } of state.replicas) seen.add(kind)
    const missing = state.kinds.filter((kind) => seen.has(kind) && !hasKind(state, kind))
    if (missing.join() === shown) return
    shown = missing.join()
    place.replaceChildren(...missing.map((kind) => offer(kind, feed)))
  })
}

function hasKind({ replicas }: PlaygroundState, kind: ReplicaKind): boolean {
  return replicas.some((one) => one.kind === kind)
}

function offer(kind: ReplicaKind, feed: Page['feed']): HTMLElement {
  const start = button(`Start a ${kind}`, { class: 'small' }, async () => {
    // The button disappears with the warning; the focus moves to the list.
    byId('replicas').focus()
    await controls.addReplica(kind)
    await feed.ask()
  })
  return el('p', {}, `No ${kind} is running, so every request to a ${kind} fails.`, start)
}

const width = 600
const height = 120
const columnWidth = width / shownSeconds
const gap = 2

/** A stacked bar chart with one bar per second. */
class BarChart {
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
class ResponseStrip {
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
