import type { PlaygroundEvent, RefreshTokenState } from '../api.ts'
import { byId, el, setText } from './dom.ts'
import type { Page } from './page.ts'
import { issuer, jsonOf } from './server.ts'

const pollMs = 2_000
const beadsMax = 12

/** The line of refresh tokens of this session: each one in the place of the one before. */
export function startLineCard({ auth, feed }: Page): void {
  const beads = new Beads()
  let asked = Promise.resolve()
  const ask = async () => {
    if (auth.state.status !== 'signed-in') return
    try {
      const line = await readLine(auth)
      beads.show(line)
      showGrace(line.grace_left_ms)
    } catch {
      // No answer, or signed out: what the client makes of it is what counts.
    }
  }
  const askNext = () => {
    asked = asked.then(ask)
  }
  setInterval(() => document.hidden || askNext(), pollMs)
  auth.onChange(askNext)
  feed.onState(({ events }) => {
    const { state } = auth
    if (state.status !== 'signed-in') return
    for (const event of events) {
      if (event.session_id === state.sessionId) beads.mark(event)
    }
    if (events.length > 0) askNext()
  })
}

/** What the issuer knows of the session of the caller. Also tells a tab that it was signed out. */
export async function readLine(auth: Page['auth']): Promise<RefreshTokenState> {
  return jsonOf<RefreshTokenState>(await auth.fetch(`${issuer}/playground/session`))
}

function showGrace(leftMs: number): void {
  const text =
    leftMs > 0
      ? `In its grace period: asked again within ${Math.ceil(leftMs / 1000)} s, it is given again.`
      : 'The grace period is over: the next refresh replaces it.'
  setText(byId('grace'), text)
}

/** Draws the generations, and what became of each. */
class Beads {
  #session = ''
  #generation = 0
  #repeats = 0
  readonly #place = byId('beads')

  show({ session_id, generation }: RefreshTokenState): void {
    if (session_id !== this.#session) {
      this.#session = session_id
      this.#repeats = 0
      this.#generation = -1
    }
    if (generation === this.#generation) return
    this.#generation = generation
    setText(byId('generation'), String(generation))
    const first = Math.max(0, generation - beadsMax + 1)
    const items = Array.from({ length: generation - first + 1 }, (_, at) => first + at)
    this.#place.replaceChildren(
      ...(first > 0 ? [el('li', { class: 'more' }, '…')] : []),
      ...items.map((item) =>
        el(
          'li',
          { class: item === generation ? 'bead current' : 'bead' },
          el('span', { class: 'visually-hidden' }, 'generation '),
          String(item),
        ),
      ),
    )
  }

  mark({ event }: PlaygroundEvent): void {
    if (event === 'refresh.replayed') this.#repeats++
    setText(byId('repeats'), String(this.#repeats))
    const current = this.#place.querySelector('.current')
    current?.classList.remove('pulse')
    // The next frame begins the animation anew.
    requestAnimationFrame(() => current?.classList.add('pulse'))
  }
}
