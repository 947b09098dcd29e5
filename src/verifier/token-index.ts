import { randomInt } from 'node:crypto'

/** So many characters from the end of a token, of its signature, tell where to look for it. */
const tailLength = 8
const slotsMin = 64
/** FNV-1a: http://www.isthe.com/chongo/tech/comp/fnv/ */
const prime = 0x01000193

interface Indexed {
  readonly token: string
  /** For the index alone, which sets it: an entry is found again without a look at its text. */
  print: number
}

/**
 * Entries by their token, compared whole. A Map of strings would do; but of many entries few are in
 * the processor's caches, and this one looks at far fewer places in memory, and takes less of it.
 *
 * Open addressing: an entry is at the slot that its print says, or in one of the next, up to the
 * first empty one. Half of the slots at least are empty.
 */
export class TokenIndex<E extends Indexed> {
  /** Nobody can make tokens that are all at the same place, without knowing this. */
  readonly #seed: number
  /** 0 where there is no entry. */
  #prints = new Int32Array(slotsMin)
  #entries: (E | undefined)[] = new Array(slotsMin).fill(undefined)
  #size = 0

  constructor(seed = randomInt(2 ** 32)) {
    this.#seed = seed
  }

  get size(): number {
    return this.#size
  }

  find(token: string): E | undefined {
    return this.#entries[this.#slotOf(token, this.#printOf(token))]
  }

  /**
   * Adds an entry, or puts it in the place of that of the same token.
   *
   * @returns the entry that was in its place
   */
  set(entry: E): E | undefined {
    if (2 * (this.#size + 1) > this.#prints.length) this.#grow()
    entry.print = this.#printOf(entry.token)
    const slot = this.#slotOf(entry.token, entry.print)
    const replaced = this.#entries[slot]
    if (replaced === undefined) this.#size += 1
    this.#prints[slot] = entry.print
    this.#entries[slot] = entry
    return replaced
  }

  delete(entry: E): void {
    const last = this.#prints.length - 1
    let empty = entry.print & last
    while (this.#entries[empty] !== entry) {
      if (this.#prints[empty] === 0) return
      empty = (empty + 1) & last
    }
    this.#size -= 1
    // What comes after moves up, where it would not be found beyond an empty slot.
    for (let slot = (empty + 1) & last; this.#prints[slot] !== 0; slot = (slot + 1) & last) {
      const print = this.#prints[slot] ?? 0
      const mayMove = ((slot - print) & last) >= ((slot - empty) & last)
      if (!mayMove) continue
      this.#prints[empty] = print
      this.#entries[empty] = this.#entries[slot]
      empty = slot
    }
    this.#prints[empty] = 0
    this.#entries[empty] = undefined
  }

  /** The slot of a token; the empty one that it would take, if it is not here. */
  #slotOf(token: string, print: number): number {
    const last = this.#prints.length - 1
    let slot = print & last
    while (this.#prints[slot] !== 0) {
      if (this.#prints[slot] === print && this.#entries[slot]?.token === token) break
      slot = (slot + 1) & last
    }
    return slot
  }

  #printOf(token: string): number {
    let hash = this.#seed
    for (let at = Math.max(0, token.length - tailLength); at < token.length; at += 1) {
      hash = Math.imul(hash ^ token.charCodeAt(at), prime)
    }
    return hash ^ (hash >>> 15) || 1
  }

  #grow(): void {
    const entries = this.#entries
    this.#prints = new Int32Array(2 * entries.length)
    this.#entries = new Array(2 * entries.length).fill(undefined)
    this.#size = 0
    for (const entry of entries) if (entry !== undefined) this.set(entry)
  }
}
