/** No character has more bytes, so a text that is cut off for want of room is still seen to be longer. */
const characterBytes = 4
const roomBytes = 8192

/**
 * The bytes of one text at a time. A token that is verified at once is looked at and let go: memory of
 * its own would take longer to get than its bytes to decode.
 */
export class HeldBytes {
  readonly #encoding: 'utf8' | 'base64url'
  /** The bytes, and behind them what is left of longer texts. */
  room = Buffer.alloc(roomBytes)
  /** The same memory. */
  numbers = new DataView(this.room.buffer, this.room.byteOffset)
  /** How many bytes the text has. */
  length = 0
  #text = ''
  #view = this.room.subarray(0, 0)

  constructor(encoding: 'utf8' | 'base64url') {
    this.#encoding = encoding
  }

  /** Takes in a text, in place of the one before. */
  hold(text: string): this {
    const neededBytes = text.length + characterBytes
    if (this.room.length < neededBytes) this.#grow(neededBytes)
    this.#text = text
    this.length = this.room.write(text, this.#encoding)
    return this
  }

  /** The same, unless it is the one that is here. */
  having(text: string): this {
    return text === this.#text ? this : this.hold(text)
  }

  /** The bytes of the text. They are there until another one is taken in. */
  get bytes(): Buffer {
    return this.first(this.length)
  }

  /** So many of them. */
  first(length: number): Buffer {
    // Most texts are of one length, and to make a view takes as long as to copy them.
    if (this.#view.length !== length) this.#view = this.room.subarray(0, length)
    return this.#view
  }

  #grow(bytes: number): void {
    this.room = Buffer.alloc(bytes)
    this.numbers = new DataView(this.room.buffer, this.room.byteOffset)
    this.#view = this.room.subarray(0, 0)
  }
}
