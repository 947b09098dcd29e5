import type { PlaygroundState, ReplicaKind } from '../api.ts'
import { button, byId, el } from './dom.ts'
import type { Page } from './page.ts'
import { controls } from './server.ts'

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
