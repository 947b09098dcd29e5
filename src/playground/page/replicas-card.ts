import type { PlaygroundState, ReplicaKind, ReplicaState } from '../api.ts'
import { AnswerStrip, BarChart } from './charts.ts'
import { button, byId, el, notify, setText } from './dom.ts'
import type { Page } from './page.ts'
import { controls } from './server.ts'

const colours = 8
const failures = ['failures']

/** The replicas, what each has answered, and the buttons that stop and add them. */
export function startReplicasCard({ feed, traffic }: Page): void {
  const rows = new ReplicaRows(feed)
  const chart = new BarChart('Requests a second by replica')
  const failureChart = new BarChart('Failures a second')
  byId('requests-chart').append(chart.element)
  byId('failures-chart').append(failureChart.element)
  const strip = new AnswerStrip((name) => rows.classOf(name))
  traffic.onAnswer((answered) => {
    strip.add(answered)
    if (answered.replica !== null) setText(byId('last-replica'), answered.replica)
  })
  feed.onState((state) => {
    traffic.hasShop = state.replicas.some(({ kind, ready }) => kind === 'shop' && ready)
    rows.show(state)
    showAdders(state)
  })
  for (const kind of ['verifier', 'shop'] as const) {
    byId(`add-${kind}`).replaceWith(adder(kind, feed))
  }
  startRates(traffic)
  setInterval(() => {
    const { statistics } = traffic
    const seconds = statistics.shown(performance.now())
    const names = [...statistics.totals.keys()].sort()
    const top = chart.draw(
      seconds,
      names,
      ({ answers }) => answers,
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
    rows.count(statistics.totals, seconds.at(-1)?.answers ?? new Map())
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
    notify(`${name} has joined. It fetched the public keys, and knows every user.`, 'good')
  })
}

function showAdders({ kinds, replicas, max_replicas }: PlaygroundState): void {
  for (const kind of ['verifier', 'shop'] as const) {
    const isFull = replicas.length >= max_replicas
    const add = byId(`add-${kind}`)
    add.hidden = !kinds.includes(kind)
    add.title = isFull ? `There are ${max_replicas} already.` : ''
  }
}

interface Row {
  readonly element: HTMLLIElement
  readonly state: HTMLElement
  readonly total: HTMLElement
  readonly bar: HTMLElement
  readonly stop: HTMLButtonElement
}

/** A row for each replica there is, and for those that have answered and are gone. */
class ReplicaRows {
  readonly #feed: Page['feed']
  readonly #rows = new Map<string, Row>()
  readonly #order: string[] = []
  readonly #list = byId('replicas')

  constructor(feed: Page['feed']) {
    this.#feed = feed
  }

  /** Its colour stays with a name. */
  classOf(name: string): string {
    if (!this.#order.includes(name)) this.#order.push(name)
    return `fill-${this.#order.indexOf(name) % colours}`
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
    this.#forgetOld()
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
      el('span', { class: 'count' }, total, el('span', { class: 'unit' }, ' answered')),
      stop,
    )
    this.#rows.set(name, { element, state, total, bar, stop })
    this.#list.append(element)
  }

  async #stop(name: string, kind: ReplicaKind): Promise<void> {
    // The button goes with the replica; the focus stays in the list.
    this.#list.focus()
    await controls.stopReplica(name)
    await this.#feed.ask()
    const goesOn = this.#feed.last?.replicas.some(
      (one) => one.kind === kind && one.name !== name && one.ready,
    )
    const others = goesOn ? 'The other replicas go on.' : `It was the last ${kind}.`
    notify(`${name} was killed without a goodbye. ${others}`, goesOn ? 'plain' : 'bad')
  }

  /** A few of those that were stopped stay, for the story. */
  #forgetOld(): void {
    const stopped = [...this.#rows].filter(([, { element }]) => element.dataset.state === 'stopped')
    for (const [name, { element }] of stopped.slice(0, -3)) {
      element.remove()
      this.#rows.delete(name)
    }
  }
}

/** Says so where no replica of a kind is left, and offers to start one. */
export function startNoneLeft({ feed }: Page): void {
  const place = byId('none-left')
  const seen = new Set<ReplicaKind>(['verifier'])
  let shown = ''
  feed.onState((state) => {
    // The shop starts when the page is opened: until then it is not gone.
    for (const { kind } of state.replicas) seen.add(kind)
    const gone = state.kinds.filter((kind) => seen.has(kind) && !hasKind(state, kind))
    if (gone.join() === shown) return
    shown = gone.join()
    place.replaceChildren(...gone.map((kind) => offer(kind, feed)))
  })
}

function hasKind({ replicas }: PlaygroundState, kind: ReplicaKind): boolean {
  return replicas.some((one) => one.kind === kind)
}

function offer(kind: ReplicaKind, feed: Page['feed']): HTMLElement {
  const start = button(`Start a ${kind}`, { class: 'small' }, async () => {
    // The button goes when the replica comes; the focus stays in the list.
    byId('replicas').focus()
    await controls.addReplica(kind)
    await feed.ask()
  })
  return el('p', {}, `No ${kind} is left, so requests to ${kind}s fail.`, start)
}
