import { createSecretKey, type KeyObject } from 'node:crypto'
import { equalTexts, hmac, hmacText } from './secrets.ts'

/** MACs for one purpose, by derived keys: none of them is valid for another purpose. */
export class DerivedMac {
  readonly #keys: readonly [KeyObject, ...KeyObject[]]

  /** @param secrets newest first: the first one makes MACs, each of them is accepted */
  constructor([newest, ...older]: readonly [Buffer, ...Buffer[]], purpose: string) {
    const keyOf = (secret: Buffer) => createSecretKey(hmac(secret, purpose))
    this.#keys = [keyOf(newest), ...older.map(keyOf)]
  }

  /** Returns the MAC of a text, in base64url. */
  of(text: string): string {
    return hmacText(this.#keys[0], text)
  }

  isValid(text: string, mac: string): boolean {
    return this.#keys.some((key) => equalTexts(hmacText(key, text), mac))
  }
}
