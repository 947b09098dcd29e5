import { LruCache } from '../core/lru-cache.ts'
import type { DataOwner } from '../stores/data-store.ts'

/** A field with its value as JSON. */
export interface FieldText {
  readonly text: string
  /** Changes with each write. A compare-and-set names the version that it expects. */
  readonly version: string
}

interface KnownField extends FieldText {
  /** The stored bytes as Latin-1, which are compared faster than they decrypt. */
  readonly stored: string
}

const maxCachedBytes = 8 * 1024 ** 2
/** Memory of an entry besides its texts. */
const entryOverheadBytes = 400

/**
 * The fields as this process read or wrote them last. Other processes may have changed them since: a
 * value is used only if the store returns the same bytes, or expects the same version.
 */
export class FieldCache {
  readonly #fields = new LruCache<KnownField>(
    maxCachedBytes,
    ({ stored, text }) => entryOverheadBytes + stored.length + text.length,
  )

  get(owner: DataOwner, field: string): KnownField | undefined {
    return this.#fields.get(nameOf(owner, field))
  }

  set(owner: DataOwner, field: string, known: KnownField): void {
    this.#fields.set(nameOf(owner, field), known)
  }
}

function nameOf({ scope, id }: DataOwner, field: string): string {
  return `${scope} ${id} ${field}`
}
