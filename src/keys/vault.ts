import { KeySeal, type OpenedKey } from './seal.ts'
import type { KeyInfo, KeyRecord, KeyStore, StoredKey } from './store.ts'
import { isRevocation, readKey, readRevocation, writeRevocation } from './stored-key.ts'

interface Opened {
  /** As it was stored. */
  readonly text: string
  readonly key: OpenedKey
}

/** The keys of a store: sealed when they are written, opened when they are read. */
export class KeyVault {
  readonly #store: KeyStore
  readonly #seal: KeySeal
  /** What the last look has opened, by name: the next one most often finds the same. */
  #opened: ReadonlyMap<string, Opened> = new Map()

  /** @param secrets as those of a `KeySeal` */
  constructor(store: KeyStore, secrets: readonly string[]) {
    this.#store = store
    this.#seal = new KeySeal(secrets)
  }

  /** @throws `key_store_invalid` when there is something that is no key, `store_unavailable` */
  async list(): Promise<OpenedKey[]> {
    const { keys, revokedAtMsOf } = await this.#read()
    const opened = await Promise.all(keys.map((key) => this.#open(key)))
    this.#opened = new Map(opened.map((one) => [one.key.name, one]))
    return opened.map(({ key }) => ({ ...key, revokedAtMs: revokedAtMsOf(key.kid) }))
  }

  /** What the records say of the keys, without opening any: it takes no secret. */
  async infos(): Promise<KeyInfo[]> {
    const { keys, revokedAtMsOf } = await this.#read()
    return keys.map((key) => {
      const { info } = readKey(key)
      return { ...info, revokedAtMs: revokedAtMsOf(info.kid) }
    })
  }

  /** Inserts a key unless one of its name is there. Tells whether it did. */
  async insertIfAbsent(record: KeyRecord): Promise<boolean> {
    return this.#store.insertIfAbsent(await this.#seal.seal(record))
  }

  /**
   * Notes that a key is revoked. The note stays for ever and has a name of its own: neither a
   * replica that seals the key anew at this moment nor a backup that brings it back undoes it.
   */
  async revoke(kid: string, revokedAtMs: number): Promise<void> {
    await this.#store.insertIfAbsent(writeRevocation({ kid, revokedAtMs }))
  }

  /** Encrypts what is in the clear, or encrypted under an older secret. */
  async sealAnew(keys: readonly OpenedKey[]): Promise<void> {
    for (const key of keys) {
      if (!key.isCurrent) await this.#store.replace(await this.#seal.seal(key))
    }
  }

  async remove(name: string): Promise<void> {
    await this.#store.remove(name)
  }

  close(): Promise<void> {
    return this.#store.close()
  }

  async #open(stored: StoredKey): Promise<Opened> {
    const known = this.#opened.get(stored.name)
    if (known?.text === stored.text) return known
    return { text: stored.text, key: await this.#seal.open(stored) }
  }

  async #read() {
    const stored = await this.#store.list()
    const revocations = stored.filter(isRevocation).map(readRevocation)
    const revokedAtMs = new Map(revocations.map((one) => [one.kid, one.revokedAtMs]))
    return {
      keys: stored.filter((one) => !isRevocation(one)),
      revokedAtMsOf: (kid: string) => revokedAtMs.get(kid) ?? null,
    }
  }
}
