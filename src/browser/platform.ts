/** What the client needs of the browser, so that a test can be one. What is missing is done without. */
export interface Platform {
  fetch(request: Request): Promise<Response>
  /** Of the wall, in milliseconds. It may be wrong, and jump. */
  wallMs(): number
  /** Never goes back; may stand still while the machine sleeps. */
  monotonicMs(): number
  /** 0 to 1. */
  random(): number
  pause(ms: number): Promise<void>
  /** One text, shared by the tabs of the origin, that survives them. */
  item(name: string): Item
  /** Runs this alone among the tabs of the origin; but anyway, when that would take too long. */
  alone<T>(name: string, waitMsMax: number, work: () => Promise<T>): Promise<T>
  channel(name: string, receive: (message: unknown) => void): Channel
  /** Calls back when the page may have missed something. @returns how to stop that */
  onWake(listener: (wasAway: boolean) => void): () => void
}

export interface Item {
  get(): string | null
  set(value: string | null): void
}

export interface Channel {
  post(message: unknown): void
  close(): void
}

/** What a page has and Node has not, or not always. */
interface Page {
  readonly localStorage?: Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>
  readonly document?: EventTarget & { readonly visibilityState: string }
  readonly navigator?: Partial<Navigator>
  readonly BroadcastChannel?: typeof BroadcastChannel
  addEventListener?: EventTarget['addEventListener']
  removeEventListener?: EventTarget['removeEventListener']
}

const page = globalThis as unknown as Page

export const browser: Platform = {
  fetch: (request) => fetch(request),
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  random: () => Math.random(),
  pause,
  item: storedItem,
  alone,
  channel: openChannel,
  onWake,
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/** In localStorage; in memory where a private mode or a setting of the user forbids that. */
function storedItem(name: string): Item {
  let memory: string | null = null
  let isStored = true
  return {
    get() {
      try {
        if (isStored && page.localStorage) return page.localStorage.getItem(name)
      } catch {}
      return memory
    },
    set(value) {
      memory = value
      try {
        if (value === null) page.localStorage?.removeItem(name)
        else page.localStorage?.setItem(name, value)
      } catch {
        isStored = false
      }
    },
  }
}

/**
 * By a Web Lock. A tab that dies gives its lock back; from one that does not, frozen or stuck, it is
 * taken after a while: whoever does not get it sends one request more, and no harm is done.
 */
function alone<T>(name: string, waitMsMax: number, work: () => Promise<T>): Promise<T> {
  const locks = page.navigator?.locks
  if (!locks) return work()
  return new Promise((resolve) => {
    let hasBegun = false
    const run = async () => {
      if (hasBegun) return
      hasBegun = true
      clearTimeout(timer)
      const result = work()
      resolve(result)
      // Its failure is for who waits for it, not for the lock.
      await result.catch(() => {})
      // What it has told the others reaches them before their turn comes.
      await pause(50)
    }
    const waiting = new AbortController()
    const timer = setTimeout(() => waiting.abort(), waitMsMax)
    locks
      .request(name, { signal: waiting.signal }, run)
      .catch(async () => {
        if (!hasBegun) await locks.request(name, { steal: true }, run)
      })
      // Some pages may have no locks at all.
      .catch(run)
  })
}

function openChannel(name: string, receive: (message: unknown) => void): Channel {
  if (!page.BroadcastChannel) return { post() {}, close() {} }
  const channel = new page.BroadcastChannel(name)
  channel.onmessage = ({ data }: { data: unknown }) => receive(data)
  // In Node it is no reason to stay alive.
  ;(channel as { unref?(): void }).unref?.()
  return { post: (message) => channel.postMessage(message), close: () => channel.close() }
}

/** Back on the network, to the front, thawed, or out of the back/forward cache. */
function onWake(listener: (wasAway: boolean) => void): () => void {
  const { document } = page
  const wake = (event: Event) => {
    if (document?.visibilityState !== 'hidden') {
      listener(event.type === 'resume' || (event as { persisted?: boolean }).persisted === true)
    }
  }
  const targets = [
    [page, 'online'],
    [page, 'pageshow'],
    [document, 'visibilitychange'],
    [document, 'resume'],
  ] as const
  for (const [target, name] of targets) target?.addEventListener?.(name, wake)
  return () => {
    for (const [target, name] of targets) target?.removeEventListener?.(name, wake)
  }
}
