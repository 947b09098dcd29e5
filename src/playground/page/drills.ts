import { button, byId, el, messageOf, pause } from './dom.ts'
import { elsewhereDrill } from './drill-elsewhere.ts'
import { keysDrill } from './drill-keys.ts'
import { replayDrill } from './drill-replay.ts'
import { tabsDrill } from './drill-tabs.ts'
import type { Page } from './page.ts'

/** Tells the steps of a drill as they happen. */
export interface Story {
  say(text: string, kind?: 'good' | 'bad'): void
  /** Waits, and shows for how long. */
  wait(why: string, ms: number): Promise<void>
}

/** One of the things that go wrong in the field, made to happen. */
export interface Drill {
  readonly id: string
  readonly label: string
  run(page: Page, story: Story): Promise<void>
}

const drills: readonly Drill[] = [replayDrill, tabsDrill, keysDrill, elsewhereDrill]

export function startDrills(page: Page): void {
  for (const drill of drills) {
    const steps = byId(`${drill.id}-steps`)
    const run = () => tell(drill, page, steps)
    byId(`run-${drill.id}`).replaceWith(button(drill.label, { id: `run-${drill.id}` }, run))
  }
}

async function tell(drill: Drill, page: Page, steps: HTMLElement): Promise<void> {
  steps.replaceChildren()
  delete steps.dataset.result
  const story: Story = {
    say(text, kind) {
      steps.append(el('li', { class: kind ?? 'plain' }, text))
    },
    async wait(why, ms) {
      const left = el('span', { class: 'countdown', 'aria-hidden': 'true' })
      const step = el('li', { class: 'waiting' }, `${why} `, left)
      steps.append(step)
      const endMs = performance.now() + ms
      for (let leftMs = ms; leftMs > 0; leftMs = endMs - performance.now()) {
        left.textContent = `${Math.ceil(leftMs / 1000)} s`
        await pause(Math.min(250, leftMs))
      }
      left.remove()
      step.className = 'plain'
    },
  }
  try {
    await drill.run(page, story)
    steps.dataset.result = steps.querySelector('.bad') === null ? 'good' : 'bad'
  } catch (error) {
    story.say(messageOf(error), 'bad')
    steps.dataset.result = 'bad'
  }
}
