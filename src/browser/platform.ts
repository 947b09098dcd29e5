/** The browser features that the client uses. Tests replace them; missing features are optional. */
export interface Platform {
  fetch(request: Request): Promise<Response>
  /** The wall clock. It may be wrong and may jump. */
  wallMs(): number
  /** A clock that never goes back but may stop while the machine sleeps. */
  monotonicMs(): number
  /** A random number from 0 to 1. */
  random(): number
  pause(ms: number): Promise<void>
  /** A text that all tabs of the origin share and that outlives them. */
  item(name: string): Item
  /** Runs `work` while no other tab of the origin holds the lock; after `maxWaitMs` in any case. */
  withLock<T>(name: string, maxWaitMs: number, work: () => Promise<T>): Promise<T>
  channel(name: string, receive: (message: unknown) => void): Channel
  /** Calls back when the page may have missed messages. @returns a function that stops it */
  onWake(listener: (wasAway: boolean) => void): () => void
}

export interface Item {
  get(): string | null
  set(value: string | null): void
}

export interface Channel {
  post(message: unknown): void
  /** Stops receiving. A closed channel still sends. */
  close(): void
}

/** Globals of a page that Node lacks or may lack. */
interface Page {
  readonly localStorage: Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>
  readonly location?: object
  readonly document?: { readonly hidden: boolean }
  readonly navigator?: Partial<Navigator>
  readonly indexedDB: { open(name: string): OpenRequest }
  readonly BroadcastChannel?: typeof BroadcastChannel
  addEventListener: EventTarget['addEventListener']
  removeEventListener: EventTarget['removeEventListener']
}

const page = globalThis as unknown as Page

export const browser: Platform = {
  fetch: (request) => fetch(request),
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  random: Math.random,
  pause,
  item: storedItem,
  withLock,
  channel: openChannel,
  onWake,
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/** In localStorage, or in memory if localStorage is missing, blocked or full. */
function storedItem(name: string): Item {
  let memory: string | null = null
  let isStored = true
  return {
    get() {
      try {
        if (isStored) return page.localStorage.getItem(name)
      } catch {}
      return memory
    },
    set(value) {
      memory = value
      try {
        if (value === null) page.localStorage.removeItem(name)
        else page.localStorage.setItem(name, value)
      } catch {
        isStored = false
      }
    },
  }
}

/**
 * Uses a Web Lock. A tab that closes releases its lock; the lock of a frozen tab is stolen after
 * `maxWaitMs`. If two tabs run at the same time, they only send one more request.
 */
function withLock<T>(name: string, maxWaitMs: number, work: () => Promise<T>): Promise<T> {
  const locks = page.navigator?.locks
  if (!locks) return work()
  return new Promise((resolve) => {
    let hasBegun = false
    const run = async () => {
      if (hasBegun) return
      hasBegun = true
      const result = work()
      resolve(result)
      // The caller handles the rejection; the lock must be released in any case.
      await result.catch(() => {})
      // Messages to other tabs arrive before the next tab gets the lock.
      await pause(50)
    }
    locks
      .request(name, { signal: AbortSignal.timeout(maxWaitMs) }, run)
      .catch((): unknown => hasBegun || locks.request(name, { steal: true }, run))
      // Browsers forbid locks to some pages.
      .catch(run)
  })
}

function openChannel(name: string, receive: (message: unknown) => void): Channel {
  let channel: InstanceType<typeof BroadcastChannel> | undefined
  try {
    // A server that renders pages has no address and no tabs, and would keep each channel forever.
    channel = new ((page.location && page.BroadcastChannel) as typeof BroadcastChannel)(name)
    channel.onmessage = ({ data }: { data: unknown }) => receive(data)
    // In a test in Node, the channel must not keep the process running.
    ;(channel as { unref?(): void }).unref?.()
  } catch {
    // Missing, or forbidden: Firefox forbids channels to pages that may not store data.
  }
  return {
    post: (message) => channel?.postMessage(message),
    close() {
      if (channel) (channel as { onmessage: unknown }).onmessage = null
    },
  }
}

/** The page is online again, visible again, unfrozen, or restored from the back/forward cache. */
function onWake(listener: (wasAway: boolean) => void): () => void {
  const wake = (event: Event) => {
    if (!page.document?.hidden) {
      listener(event.type === 'resume' || !!(event as { persisted?: boolean }).persisted)
    }
  }
  // A server that renders pages has no such events. In workerd listening to them is an error.
  const names = page.document ? ['online', 'pageshow', 'visibilitychange', 'resume'] : []
  // `true`: the window captures the events of the document.
  for (const name of names) page.addEventListener(name, wake, true)
  return () => {
    for (const name of names) page.removeEventListener(name, wake, true)
  }
}

/** An object store of IndexedDB in its transaction. Transactions of all tabs take turns. */
interface Store {
  readonly transaction: Transaction
  get(key: string): StoreRequest<unknown>
  put(value: unknown, key: string): StoreRequest<unknown>
  delete(key: string): StoreRequest<unknown>
}

interface Transaction {
  objectStore(name: string): Store
  oncomplete: () => void
  onabort: () => void
}

interface Database {
  createObjectStore(name: string): void
  close(): void
  transaction(store: string, mode: 'readwrite'): Transaction
}

interface StoreRequest<T> {
  readonly result: T
  readonly error: unknown
  onsuccess: () => void
  onerror: () => void
}

type OpenRequest = StoreRequest<Database> & { onupgradeneeded: () => void }

/** Opens the object store of Gatepass in IndexedDB, with a new transaction. */
export async function openStore(): Promise<Store> {
  const name = 'gatepass'
  const opening = page.indexedDB.open(name)
  opening.onupgradeneeded = () => opening.result.createObjectStore(name)
  const database = await done(opening)
  const store = database.transaction(name, 'readwrite').objectStore(name)
  // It closes after the transaction.
  database.close()
  return store
}

export function done<T>(request: StoreRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })
}
