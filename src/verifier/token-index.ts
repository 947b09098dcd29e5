import { randomInt } from 'node:crypto'

/** So many characters from the end of a token, of its signature, tell where to look for it. */
const tailLength = 8
const slotsMin = 64
/** FNV-1a: http://www.isthe.com/chongo/tech/comp/fnv/ */
const prime = 0x01000193

/**
 * Makes what gives the print of a token: a number, never 0, that others may have too.
 *
 * @param seed without it nobody can make tokens that have all the same
 */
export function createPrints(seed = randomInt(2 ** 32)): (token: string) => number {
  return (token) => {
    let hash = seed
    for (let at = Math.max(0, token.length - tailLength); at < token.length; at += 1) {
      hash = Math.imul(hash ^ token.charCodeAt(at), prime)
    }
    return hash ^ (hash >>> 15) || 1
  }
}

/**
 * Values by their token, compared whole, and its print. A Map of strings would do; but of many values
 * few are in the processor's caches, and this one looks at far fewer places in memory, and takes less
 * of it.
 *
 * Open addressing: a value is at the slot that its print says, or in one of the next, up to the
 * first empty one. Half of the slots at least are empty.
 */
export class TokenIndex<V> {
  readonly #isOf: (value: V, token: string) => boolean
  /** 0 where there is no value. */
  #prints = new Int32Array(slotsMin)
  #values: (V | undefined)[] = new Array(slotsMin).fill(undefined)
  #size = 0

  /** @param isOf whether a value is that of a token */
  constructor(isOf: (value: V, token: string) => boolean) {
    this.#isOf = isOf
  }

  get size(): number {
    return this.#size
  }

  find(token: string, print: number): V | undefined {
    return this.#values[this.#slotOf(token, print)]
  }

  /**
   * Adds a value, or puts it in the place of that of the same token.
   *
   * @returns the value that was in its place
   */
  set(token: string, print: number, value: V): V | undefined {
    if (2 * (this.#size + 1) > this.#prints.length) this.#grow()
    const slot = this.#slotOf(token, print)
    const replaced = this.#values[slot]
    if (replaced === undefined) this.#size += 1
    this.#prints[slot] = print
    this.#values[slot] = value
    return replaced
  }

  /** A value is found by itself: its text may be out of the processor's caches by then. */
  delete(print: number, value: V): void {
    const last = this.#prints.length - 1
    let empty = print & last
    while (this.#values[empty] !== value) {
      if (this.#prints[empty] === 0) return
      empty = (empty + 1) & last
    }
    this.#size -= 1
    // What comes after moves up, where it would not be found beyond an empty slot.
    for (let slot = (empty + 1) & last; this.#prints[slot] !== 0; slot = (slot + 1) & last) {
      const moving = this.#prints[slot] ?? 0
      const mayMove = ((slot - moving) & last) >= ((slot - empty) & last)
      if (!mayMove) continue
      this.#prints[empty] = moving
      this.#values[empty] = this.#values[slot]
      empty = slot
    }
    this.#prints[empty] = 0
    this.#values[empty] = undefined
  }

  /** The slot of a token; the empty one that it would take, if it is not here. */
  #slotOf(token: string, print: number): number {
    const last = this.#prints.length - 1
    let slot = print & last
    while (this.#prints[slot] !== 0) {
      if (this.#prints[slot] === print && this.#isOf(this.#values[slot] as V, token)) break
      slot = (slot + 1) & last
    }
    return slot
  }

  #grow(): void {
    const [prints, values] = [this.#prints, this.#values]
    const last = 2 * values.length - 1
    this.#prints = new Int32Array(last + 1)
    this.#values = new Array(last + 1).fill(undefined)
    for (const [at, print] of prints.entries()) {
      if (print === 0) continue
      let slot = print & last
      while (this.#prints[slot] !== 0) slot = (slot + 1) & last
      this.#prints[slot] = print
      this.#values[slot] = values[at]
    }
  }
}
