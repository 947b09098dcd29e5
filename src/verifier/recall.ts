import type { CachedToken, TokenCache } from './token-cache.ts'

/** A token that was found good before, unless its key has gone since. */
export function recall(cache: TokenCache | null, token: string): CachedToken | undefined {
  const known = typeof token === 'string' ? cache?.find(token) : undefined
  if (known === undefined) return undefined
  const { key, issuer } = known.origin
  const { version } = issuer.keys
  if (known.origin.keysVersion !== version) {
    if (issuer.keys.find(key.kid, key.alg) !== key) {
      cache?.drop(token)
      return undefined
    }
    known.origin.keysVersion = version
  }
  return known
}
