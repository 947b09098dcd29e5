import type { TokenOrigin } from './token-cache.ts'
import { TokenIndex } from './token-index.ts'

/**
 * What is allocated at once, and goes at once: a part of the room, but not so much that a request waits
 * for it. A token that is longer has a chunk of its own.
 */
const chunkBytesMax = 256 * 1024
const chunkShare = 1 / 64
/** Beside the text of a token: its part of the index. */
const indexBytes = 36

/** Of the numbers before the text of a token. */
const head = { length: 0, print: 1, origin: 2, count: 3 } as const
const headBytes = 4 * head.count
/** In the place of its origin, when a token has been taken out. */
const gone = -1

/** Some tokens, one behind the other. */
interface Chunk {
  readonly slot: number
  readonly bytes: Buffer<ArrayBuffer>
  /** The same bytes; the heads of tokens are at multiples of four. */
  readonly numbers: Int32Array
  /** Those that the heads name by their positions. */
  readonly origins: TokenOrigin[]
  usedBytes: number
  tokens: number
}

/**
 * Tokens that were found good and used once, the oldest of which go first. Most are never seen again,
 * so nothing of them is on the heap, where V8 would copy each of them twice and let as much memory
 * again go to waste: no more than their texts in buffers, and where they are from.
 */
export class TrialTokens {
  /** By where they are: the slot of the chunk, and the position in it. */
  readonly #places = new TokenIndex<number>((place, token) => this.#isAt(place, token))
  /** The oldest first. */
  readonly #chunks = new Set<Chunk>()
  readonly #bySlot: (Chunk | undefined)[] = []
  readonly #freeSlots: number[] = []
  #newest: Chunk | null = null
  /** The memory of a chunk that is gone, for the next one. */
  #spare: Buffer<ArrayBuffer> | null = null
  #chunksBytes = 0
  readonly #chunkBytes: number

  /** @param roomBytes how much memory there is for all tokens, these and others */
  constructor(roomBytes: number) {
    const share = 4 * Math.floor((roomBytes * chunkShare) / 4)
    this.#chunkBytes = Math.min(share, chunkBytesMax)
  }

  get size(): number {
    return this.#places.size
  }

  get bytes(): number {
    return this.#chunksBytes + indexBytes * this.#places.size
  }

  /** @param token of ASCII, as those are that were found good */
  add(token: string, print: number, origin: TokenOrigin): void {
    const neededBytes = headBytes + 4 * Math.ceil(token.length / 4)
    const chunk = this.#chunkFor(neededBytes)
    const start = chunk.usedBytes
    const numbers = start / 4
    chunk.numbers[numbers + head.length] = token.length
    chunk.numbers[numbers + head.print] = print
    chunk.numbers[numbers + head.origin] = positionOf(origin, chunk.origins)
    chunk.bytes.write(token, start + headBytes, 'latin1')
    chunk.usedBytes += neededBytes
    chunk.tokens += 1
    const replaced = this.#places.set(token, print, chunk.slot * this.#chunkBytes + start)
    if (replaced !== undefined) this.#release(replaced)
  }

  /** Takes a token out, and tells where it is from. */
  take(token: string, print: number): TokenOrigin | undefined {
    const place = this.#places.find(token, print)
    if (place === undefined) return undefined
    this.#places.delete(print, place)
    return this.#release(place)
  }

  /** @returns how many tokens went */
  dropOldest(): number {
    const [chunk] = this.#chunks
    if (chunk === undefined) return 0
    const { numbers, tokens } = chunk
    for (let at = 0; at < chunk.usedBytes / 4; ) {
      const place = chunk.slot * this.#chunkBytes + 4 * at
      const isHere = numbers[at + head.origin] !== gone
      if (isHere) this.#places.delete(numbers[at + head.print] ?? 0, place)
      at += head.count + Math.ceil((numbers[at + head.length] ?? 0) / 4)
    }
    this.#dropChunk(chunk)
    return tokens
  }

  #isAt(place: number, token: string): boolean {
    const chunk = this.#chunkAt(place)
    const start = place % this.#chunkBytes
    const textStart = start + headBytes
    return (
      chunk.numbers[start / 4 + head.length] === token.length &&
      chunk.bytes.toString('latin1', textStart, textStart + token.length) === token
    )
  }

  #chunkAt(place: number): Chunk {
    return this.#bySlot[Math.floor(place / this.#chunkBytes)] as Chunk
  }

  /** What is no longer in the index is gone from its chunk, and the last one takes that with it. */
  #release(place: number): TokenOrigin | undefined {
    const chunk = this.#chunkAt(place)
    const at = (place % this.#chunkBytes) / 4 + head.origin
    const origin = chunk.origins[chunk.numbers[at] ?? gone]
    chunk.numbers[at] = gone
    chunk.tokens -= 1
    if (chunk.tokens === 0) this.#dropChunk(chunk)
    return origin
  }

  #chunkFor(neededBytes: number): Chunk {
    const newest = this.#newest
    if (newest !== null && newest.usedBytes + neededBytes <= newest.bytes.length) return newest
    const bytes = this.#takeMemory(Math.max(neededBytes, this.#chunkBytes))
    const slot = this.#freeSlots.pop() ?? this.#bySlot.length
    const numbers = new Int32Array(bytes.buffer)
    const chunk = { slot, bytes, numbers, origins: [], usedBytes: 0, tokens: 0 }
    this.#bySlot[slot] = chunk
    this.#chunks.add(chunk)
    this.#newest = chunk
    this.#chunksBytes += bytes.length
    return chunk
  }

  #takeMemory(neededBytes: number): Buffer<ArrayBuffer> {
    const spare = this.#spare
    if (spare === null || spare.length < neededBytes) return allocate(neededBytes)
    this.#spare = null
    return spare
  }

  #dropChunk(chunk: Chunk): void {
    this.#chunks.delete(chunk)
    this.#bySlot[chunk.slot] = undefined
    this.#freeSlots.push(chunk.slot)
    this.#chunksBytes -= chunk.bytes.length
    if (this.#newest === chunk) this.#newest = null
    if (this.#spare === null && chunk.bytes.length === this.#chunkBytes) this.#spare = chunk.bytes
    else release(chunk.bytes)
  }
}

/** Memory that can be resized is the system's own pages, not of the heap of C, which keeps them. */
function allocate(length: number): Buffer<ArrayBuffer> {
  return Buffer.from(new ArrayBuffer(length, { maxByteLength: length }), 0, length)
}

/** Gives memory back at once, and not when V8 has found that nobody needs it. */
function release(bytes: Buffer<ArrayBuffer>): void {
  bytes.buffer.resize(0)
}

/** Few keys sign at a time, so there are few. */
function positionOf(origin: TokenOrigin, origins: TokenOrigin[]): number {
  const known = origins.indexOf(origin)
  return known === -1 ? origins.push(origin) - 1 : known
}
