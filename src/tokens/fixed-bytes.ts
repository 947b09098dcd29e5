const wordBytes = 4

/** Bytes that are looked for in others, by fours: in a quarter of the time of one by one. */
export class FixedBytes {
  readonly length: number
  readonly #words: Int32Array
  readonly #rest: Uint8Array

  constructor(text: string) {
    const bytes = Buffer.from(text)
    const words = Math.floor(bytes.length / wordBytes)
    this.length = bytes.length
    this.#words = Int32Array.from({ length: words }, (_, at) => bytes.readInt32LE(wordBytes * at))
    this.#rest = Uint8Array.from(bytes.subarray(wordBytes * words))
  }

  /** @param numbers where there are as many bytes from the start on */
  isAt(start: number, numbers: DataView): boolean {
    const [words, rest] = [this.#words, this.#rest]
    for (let word = 0; word < words.length; word += 1) {
      if (numbers.getInt32(start + wordBytes * word, true) !== words[word]) return false
    }
    const behind = start + wordBytes * words.length
    for (let at = 0; at < rest.length; at += 1) {
      if (numbers.getUint8(behind + at) !== rest[at]) return false
    }
    return true
  }
}
