/** Helpers that create elements. They never parse HTML, so text cannot inject markup. */

type Child = Node | string
type Attributes = Readonly<Record<string, string | number | boolean | undefined>>

function fill<E extends Element>(
  element: E,
  attributes: Attributes,
  children: readonly Child[],
): E {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue
    element.setAttribute(name, value === true ? '' : String(value))
  }
  element.append(...children)
  return element
}

export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  return fill(document.createElement(tag), attributes, children)
}

export function svg<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: readonly Child[]
): SVGElementTagNameMap[K] {
  return fill(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes, children)
}

/** Finds an element of index.html. */
export function byId<E extends HTMLElement = HTMLElement>(id: string): E {
  const found = document.getElementById(id)
  if (found === null) throw new Error(`the page has no #${id}`)
  return found as E
}

export function setText(element: Element, text: string): void {
  // A screen reader repeats text that is set again.
  if (element.textContent !== text) element.textContent = text
}

/**
 * Returns a function that shows items in a list of index.html. An unchanged item keeps its buttons, and
 * with them the focus.
 */
export function listView<T>(id: string, row: (item: T) => Element): (items: readonly T[]) => void {
  const list = byId(id)
  let rows = new Map<string, Element>()
  return (items) => {
    const before = rows
    rows = new Map(
      items.map((item) => {
        const key = JSON.stringify(item)
        return [key, before.get(key) ?? row(item)]
      }),
    )
    for (const [key, element] of before) if (!rows.has(key)) element.remove()
    // An element that is inserted again loses the focus.
    for (const [at, element] of [...rows.values()].entries()) {
      if (list.children[at] !== element) list.insertBefore(element, list.children[at] ?? null)
    }
  }
}

type Work = () => Promise<unknown>

/** Creates a button that ignores clicks while its work runs. */
export function button(label: string, attributes: Attributes, work: Work): HTMLButtonElement {
  const made = el('button', { type: 'button', ...attributes }, label)
  made.addEventListener('click', () => busyWhile(made, work))
  return made
}

/** Runs work when a button of index.html is clicked. Ignores clicks while the work runs. */
export function onClick(id: string, work: Work): void {
  const element = byId(id)
  element.addEventListener('click', () => busyWhile(element, work))
}

/** Runs the work of a button. `aria-disabled` keeps the focus, which a disabled button would lose. */
export async function busyWhile(element: HTMLElement, work: Work): Promise<void> {
  if (element.getAttribute('aria-disabled') === 'true') return
  element.setAttribute('aria-disabled', 'true')
  try {
    await work()
  } catch (error) {
    notify(messageOf(error), 'bad')
  } finally {
    element.removeAttribute('aria-disabled')
  }
}

export function messageOf(error: unknown): string {
  const code = (error as { readonly code?: unknown } | null)?.code
  if (code === 'issuer_unreachable') return 'The issuer is not responding. Start it again.'
  return error instanceof Error ? error.message : String(error)
}

const noticeMs = 6_000

/** Shows a message for a few seconds. Screen readers announce it. */
export function notify(text: string, kind: 'good' | 'bad' | 'plain' = 'plain'): void {
  const notice = el('p', { class: `notice ${kind}` }, text)
  byId('notices').append(notice)
  setTimeout(() => notice.remove(), noticeMs)
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

export function shortId(id: string): string {
  return `${id.slice(0, 8)}…`
}
