import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { BrowserContextOptions, Page } from 'playwright-core'
import type { Test } from 'tap'

/** Checks that everybody can use a page: in both themes, on a phone, with a screen reader. */

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

const desk = { viewport: { width: 1280, height: 900 } }
const phone = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true }

/** The theme sets the colors and the screen the sizes, so two of the four pairs have every style. */
export const looks: Readonly<Record<string, BrowserContextOptions>> = {
  light: { ...desk, colorScheme: 'light' },
  'dark, on a phone': { ...phone, colorScheme: 'dark' },
}

interface Finding {
  readonly id: string
  readonly impact: string
  readonly nodes: readonly { readonly target: readonly string[] }[]
}

/**
 * axe finds nothing, and nothing sticks out at the side. The policy of the page must allow axe.
 *
 * @param impacts the impacts of axe that count. Default: all
 */
export async function isReadable(
  t: Test,
  page: Page,
  where: string,
  impacts?: readonly string[],
): Promise<void> {
  // An element has less contrast while it fades in.
  await page.evaluate('Promise.allSettled(document.getAnimations().map((one) => one.finished))')
  const shots = process.env.GATEPASS_TEST_SCREENSHOTS
  if (shots !== undefined) await page.screenshot({ path: `${shots}/${t.name}-${where}.png` })
  await page.evaluate(axe)
  const found: readonly Finding[] = await page.evaluate('axe.run().then((r) => r.violations)')
  const counted = found
    .filter(({ impact }) => impacts?.includes(impact) ?? true)
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target.join(' ')).join(', ')}`)
  t.same(counted, [], where)
  t.equal(await overhang(page), 0, `${where}: as wide as the window`)
}

/** Each control of the page that is lower than a finger needs (WCAG 2.5.5). */
export function lowTargets(page: Page): Promise<readonly string[]> {
  return page.evaluate(`[...document.querySelectorAll('a:not(.skip), button, summary, input')]
    .filter((one) => one.checkVisibility())
    .map((one) => (one.type === 'radio' ? one.nextElementSibling : one))
    .filter((one) => one.getBoundingClientRect().height < 44)
    .map((one) => one.textContent.trim() || one.id)`)
}

/** Each text that is cut off, or that another text covers. */
export function illegibleTexts(page: Page): Promise<readonly string[]> {
  return page.evaluate(`(() => {
    const nodes = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
    const texts = []
    while (nodes.nextNode()) {
      const { data, parentElement: one } = nodes.currentNode
      const isHidden = !one.checkVisibility() || one.closest('.visually-hidden, .skip, .notices, #devices')
      if (data.trim() === '' || isHidden) continue
      const range = document.createRange()
      range.selectNodeContents(nodes.currentNode)
      texts.push({ data, one, boxes: [...range.getClientRects()] })
    }
    const isOver = (a, b) =>
      Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2 &&
      Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 4
    const isCut = (one) =>
      one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).overflowX === 'hidden'
    const isBad = ({ one, boxes }) =>
      [one, one.parentElement].some(isCut) ||
      texts.some((other) => other.one !== one && boxes.some((a) => other.boxes.some((b) => isOver(a, b))))
    return texts.filter(isBad).map(({ data }) => data.trim())
  })()`)
}

/** How many pixels of the page stick out of the window. */
export function overhang(page: Page): Promise<number> {
  return page.evaluate(
    'document.documentElement.scrollWidth - document.documentElement.clientWidth',
  )
}
