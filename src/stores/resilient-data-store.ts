import { isGatepassError } from '../core/errors.ts'
import type { DataPromises, DataStore } from './data-store.ts'

const firstPauseMs = 250
const pauseMsMax = 10_000

/**
 * A store on another machine, whether it is there now or not. A start does not wait for it: until it
 * has come, each call fails, and it is looked for in the background.
 *
 * @param open opens it, or throws `store_unavailable`
 * @param onAway told once, when it was not there at first
 * @throws what `open` throws but `store_unavailable`: an address that can't be used stays so
 */
export async function openOrFollow(
  open: () => Promise<DataStore>,
  onAway: (error: unknown) => void,
): Promise<DataStore> {
  try {
    return await open()
  } catch (error) {
    if (!isGatepassError(error, 'store_unavailable')) throw error
    onAway(error)
    return new AwaitedDataStore(open, error)
  }
}

class AwaitedDataStore implements DataStore {
  readonly #open: () => Promise<DataStore>
  #store: DataStore | null = null
  #lastError: Error
  #pauseMs = firstPauseMs
  #timer: NodeJS.Timeout
  #attempt: Promise<void> | null = null
  #isClosed = false

  constructor(open: () => Promise<DataStore>, error: Error) {
    this.#open = open
    this.#lastError = error
    this.#timer = this.#schedule()
  }

  get promises(): DataPromises {
    return this.#store?.promises ?? { durable: false, keepsAll: false }
  }

  read: DataStore['read'] = async (...args) => this.#opened().read(...args)
  write: DataStore['write'] = async (write) => this.#opened().write(write)
  remove: DataStore['remove'] = async (removal) => this.#opened().remove(removal)
  touch: DataStore['touch'] = async (...args) => this.#opened().touch(...args)
  end: DataStore['end'] = async (...args) => this.#opened().end(...args)
  removeExpired: DataStore['removeExpired'] = async (...args) =>
    this.#store?.removeExpired(...args) ?? false
  ping: DataStore['ping'] = async () => this.#opened().ping()

  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#timer)
    await this.#attempt
    await this.#store?.close()
  }

  #opened(): DataStore {
    if (this.#store === null) throw this.#lastError
    return this.#store
  }

  #schedule(): NodeJS.Timeout {
    // Not all at once, who lost the same store.
    const delayMs = this.#pauseMs * (0.5 + Math.random() / 2)
    return setTimeout(() => {
      this.#attempt = this.#tryToOpen()
    }, delayMs).unref()
  }

  async #tryToOpen(): Promise<void> {
    try {
      this.#store = await this.#open()
    } catch (error) {
      this.#lastError = error as Error
      this.#pauseMs = Math.min(2 * this.#pauseMs, pauseMsMax)
      if (!this.#isClosed) this.#timer = this.#schedule()
    }
  }
}
