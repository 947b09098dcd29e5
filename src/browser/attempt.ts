import type { Item } from './platform.ts'

/** In the place of a key: the user has signed out, and the issuer may not have heard of it. */
const leaving = 'leaving'

/**
 * The `Idempotency-Key` of the refresh that is under way, kept where all tabs and the next page find
 * it until its answer has come. By it a lost answer can be had again, by whichever of them asks.
 *
 * Kept is `<key>.<how often it was sent>`: a tab that took long to read its answer must not put away
 * a key that another has sent since, whose answer may be lost.
 */
export class Attempt {
  readonly #item: Item

  constructor(item: Item) {
    this.#item = item
  }

  get isLeaving(): boolean {
    return this.#item.get() === leaving
  }

  /** To be called for each request. @returns what is kept now; the key is before the dot */
  send(): string {
    const [key = '', count = 0] = this.#item.get()?.split('.') ?? []
    const sent = key ? `${key}.${Number(count) + 1}` : `${randomKey()}.1`
    this.#item.set(sent)
    return sent
  }

  /** The answer came: what is kept goes, if it is still this. */
  end(kept: string = leaving): void {
    if (this.#item.get() === kept) this.#item.set(null)
  }

  leave(): void {
    this.#item.set(leaving)
  }

  /** A new session: what was kept is of another. */
  begin(): void {
    this.#item.set(null)
  }
}

function randomKey(): string {
  // There is no randomUUID where the page is not secure.
  return crypto.getRandomValues(new Uint32Array(4)).join('-')
}
