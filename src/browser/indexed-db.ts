interface Request<T> {
  readonly result: T
  readonly error: unknown
  onsuccess: () => void
  onerror: () => void
}

interface Database {
  createObjectStore(name: string): void
  close(): void
  transaction(store: string, mode: 'readwrite'): Transaction
}

interface Transaction {
  objectStore(name: string): Store
  oncomplete: () => void
  onabort: () => void
}

/** An object store in its transaction. Transactions of all tabs take turns. */
export interface Store {
  readonly transaction: Transaction
  get(key: string): Request<unknown>
  put(value: unknown, key: string): Request<unknown>
  delete(key: string): Request<unknown>
}

type OpenRequest = Request<Database> & { onupgradeneeded: () => void }

/** Opens the object store of Gatepass in IndexedDB, with a new transaction. */
export async function openStore(): Promise<Store> {
  const { indexedDB } = globalThis as unknown as {
    indexedDB: { open(name: string): OpenRequest }
  }
  const name = 'gatepass'
  const opening = indexedDB.open(name)
  opening.onupgradeneeded = () => opening.result.createObjectStore(name)
  const database = await done(opening)
  const store = database.transaction(name, 'readwrite').objectStore(name)
  // It closes after the transaction.
  database.close()
  return store
}

export function done<T>(request: Request<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })
}
