import { memoryUsage } from 'node:process'
import t from 'tap'
import { readTokenFormat } from '../../src/verifier/claims.ts'
import type { TrustedIssuer, VerifiedToken } from '../../src/verifier/issuer-matching.ts'
import { createFixedKeys, readKeySet } from '../../src/verifier/keys/key-source.ts'
import { defaultCacheBytes, TokenCache } from '../../src/verifier/token-cache.ts'
import { collectGarbage, collectYoungGarbage } from '../support/garbage.ts'
import fc from '../support/properties.ts'
import { audience, claimsWith, issuer, now_s } from '../support/tokens.ts'
import { jwks, keyOf } from './harness.ts'

const keys = createFixedKeys(readKeySet(jwks))
const found = keys.find(keyOf('ES256').kid, 'ES256')
if (typeof found === 'string') throw new Error(found)
const trusted: TrustedIssuer = {
  rules: {
    issuer,
    audiences: [audience],
    clockToleranceSeconds: 5,
    format: readTokenFormat(undefined, ['at+jwt']),
  },
  keys,
  revocations: null,
}

const goodFor = (life_s: number): VerifiedToken => ({
  claims: claimsWith({ exp: now_s + life_s }) as VerifiedToken['claims'],
  key: found,
  issuer: trusted,
})
const good = goodFor(300)

/** A text of the length of a token, each number another one. */
const textOf = (n: number) => `${'x'.repeat(460)}.${String(n).padStart(86, '0')}`

const minBytes = 1024 ** 2

const cacheOf = (maxBytes: number = defaultCacheBytes) => new TokenCache(maxBytes)

function filled(count: number, maxBytes: number) {
  const cache = cacheOf(maxBytes)
  for (let n = 0; n < count; n += 1) cache.add(textOf(n), good, now_s)
  return cache
}

t.test('finds a token by its whole text only', async (t) => {
  const cache = filled(1, defaultCacheBytes)
  t.equal(cache.find(textOf(0))?.claims, good.claims)
  t.equal(cache.find(textOf(1)), undefined)
  t.equal(cache.find(''), undefined)
  t.match(cache.status(), { tokens: 1, hits: 1, misses: 2, evictions: 0 })
})

t.test('A21: tokens with the same end are never confused', async (t) => {
  const cache = cacheOf()
  const [one, other] = [`a${textOf(0)}`, `b${textOf(0)}`]
  cache.add(one, good, now_s)
  t.equal(cache.find(other), undefined)
  const second = goodFor(200)
  cache.add(other, second, now_s)
  t.equal(cache.find(other)?.claims, second.claims)
  t.equal(cache.find(one)?.claims, good.claims)
  cache.remove(one)
  t.equal(cache.find(one), undefined)
  t.equal(cache.find(other)?.claims, second.claims)
  t.match(cache.status(), { tokens: 1 })
})

t.test('few tokens with the same end are kept, so that none is slow to find', async (t) => {
  const cache = cacheOf()
  for (let n = 0; n < 100; n += 1) cache.add(`${textOf(n)}.same end`, good, now_s)
  t.match(cache.status(), { tokens: 16, evictions: 84 })
  t.equal(cache.find(`${textOf(83)}.same end`), undefined)
  t.ok(cache.find(`${textOf(84)}.same end`))
  t.ok(cache.find(`${textOf(99)}.same end`))
})

t.test('tokens of one bucket are removed in any order', async (t) => {
  const texts = ['a', 'b', 'c'].map((letter) => `${letter}${textOf(0)}`)
  for (const order of [
    [0, 1, 2],
    [1, 2, 0],
    [2, 0, 1],
  ] as const) {
    const cache = cacheOf()
    for (const text of texts) cache.add(text, good, now_s)
    const left = new Set(texts)
    for (const n of order) {
      const text = texts[n] as string
      cache.remove(text)
      left.delete(text)
      const found = texts.filter((one) => cache.find(one) !== undefined)
      t.same(found, [...left])
    }
    t.match(cache.status(), { tokens: 0, bytes: 0 })
  }
})

t.test('accepts tokens of any length', async (t) => {
  const cache = cacheOf()
  const texts = [10, 20_000, 0, 9_000, 40_000].map((length) => `${'z'.repeat(length)}.${length}`)
  for (const text of texts) cache.add(text, good, now_s)
  for (const text of texts) {
    t.equal(cache.find(text)?.claims, good.claims, `of ${text.length} characters`)
    t.equal(cache.find(`${text}0`), undefined)
  }
})

t.test('a token that is added again is stored once', async (t) => {
  const cache = filled(3, defaultCacheBytes)
  const { bytes } = cache.status()
  const again = goodFor(200)
  cache.add(textOf(1), again, now_s)
  t.match(cache.status(), { tokens: 3, bytes, evictions: 0 })
  t.equal(cache.find(textOf(1))?.claims, again.claims)
  for (const n of [0, 1, 2]) cache.remove(textOf(n))
  t.match(cache.status(), { tokens: 0, bytes: 0 })
})

t.test('a token that is added again after a use is stored once', async (t) => {
  const cache = filled(1, defaultCacheBytes)
  cache.find(textOf(0))
  const { bytes } = cache.status()
  const again = goodFor(200)
  cache.add(textOf(0), again, now_s)
  t.match(cache.status(), { tokens: 1, bytes, evictions: 0 })
  t.equal(cache.find(textOf(0))?.claims, again.claims)
  cache.remove(textOf(0))
  t.match(cache.status(), { tokens: 0, bytes: 0 })
})

t.test('does not store a token that is about to expire', async (t) => {
  const cache = cacheOf()
  cache.add(textOf(0), goodFor(1), now_s)
  cache.add(textOf(1), goodFor(-4), now_s)
  t.equal(cache.status().tokens, 0)
  cache.add(textOf(2), goodFor(2), now_s)
  t.equal(cache.status().tokens, 1)
})

t.test('forgets a removed token', async (t) => {
  const cache = filled(3, defaultCacheBytes)
  cache.remove(textOf(1))
  cache.remove(textOf(1))
  t.same(
    [0, 1, 2].map((n) => cache.find(textOf(n)) !== undefined),
    [true, false, true],
  )
  for (const n of [0, 2]) cache.remove(textOf(n))
  t.match(cache.status(), { tokens: 0, bytes: 0 })
})

t.test('after a token between two others is removed, both are still evicted', async (t) => {
  const cache = filled(3, minBytes)
  cache.remove(textOf(1))
  for (let n = 3; n < 5_000; n += 1) cache.add(textOf(n), good, now_s)
  const found = [0, 2, 4_999].map((n) => cache.find(textOf(n)) !== undefined)
  t.same(found, [false, false, true])
})

t.test('a flood of one-time tokens neither grows the cache nor evicts tokens in use', async (t) => {
  const maxBytes = minBytes
  const cache = filled(100, maxBytes)
  for (let n = 0; n < 100; n += 1) cache.find(textOf(n))
  let largest = 0
  for (let n = 100; n < 20_000; n += 1) {
    cache.add(textOf(n), good, now_s)
    largest = Math.max(largest, cache.status().bytes)
  }
  t.ok(largest <= maxBytes)
  const left = Array.from({ length: 100 }, (_, n) => cache.find(textOf(n)) !== undefined)
  t.notOk(left.includes(false), 'all are left')
  t.ok(cache.status().evictions > 18_000)
})

t.test('evicted one-time tokens are garbage of the young generation', async (t) => {
  const cache = filled(3_000, minBytes)
  collectGarbage()
  let n = 3_000
  const heapAfter = (count: number) => {
    for (const end = n + count; n < end; n += 1) {
      cache.find(textOf(n))
      cache.add(textOf(n), goodFor(300), now_s)
    }
    collectYoungGarbage()
    return memoryUsage().heapUsed
  }
  heapAfter(5_000)
  const before = heapAfter(5_000)
  for (let round = 0; round < 5; round += 1) heapAfter(5_000)
  // If they were kept until the next full collection, these would be over 20 MiB.
  t.ok(heapAfter(5_000) - before < 8 * 1024 ** 2)
})

t.test('the size of a token includes its claims', async (t) => {
  const cache = cacheOf()
  const count = 2_000
  collectGarbage()
  const before = memoryUsage().heapUsed
  for (let n = 0; n < count; n += 1) {
    const roles = Array.from({ length: 100 }, (_, role) => `role-${role}-of-${n}`)
    // Parsed, so that no two tokens share the text of a claim.
    const claims = JSON.parse(JSON.stringify(claimsWith({ exp: now_s + 300, roles })))
    cache.add(textOf(n), { ...good, claims }, now_s)
  }
  collectGarbage()
  const used = memoryUsage().heapUsed - before
  const { tokens, bytes } = cache.status()
  t.equal(tokens, count)
  t.ok(bytes > 0.8 * used, `${bytes} bytes are estimated, ${used} are used`)
  t.ok(bytes < 1.5 * used)
})

t.test('tokens that are used in turn are kept if they fit', async (t) => {
  const count = Math.floor(minBytes / filled(1, minBytes).status().bytes)
  const cache = filled(count, minBytes)
  for (let round = 0; round < 3; round += 1) {
    for (let n = 0; n < count; n += 1) cache.find(textOf(n))
  }
  t.match(cache.status(), { tokens: count, hits: 3 * count, misses: 0, evictions: 0 })
})

t.test('tokens that are no longer used are evicted in the end', async (t) => {
  const cache = cacheOf(minBytes)
  const use = (start: number) => {
    for (let n = start; n < start + 2_000; n += 1) {
      cache.add(textOf(n), good, now_s)
      cache.find(textOf(n))
    }
  }
  use(0)
  use(10_000)
  const left = Array.from({ length: 2_000 }, (_, n) => cache.find(textOf(n)) !== undefined)
  t.notOk(left.includes(true), 'none is left')
  t.ok(cache.find(textOf(11_999)))
})

t.test('the cache stays within its limit and returns what was added', async () => {
  const maxBytes = minBytes
  const action = fc.record({ what: fc.constantFrom('keep', 'find', 'drop'), n: fc.nat(40) })
  fc.assert(
    fc.property(fc.array(action, { maxLength: 200 }), (actions) => {
      const cache = cacheOf(maxBytes)
      // Long, so that a few fill it.
      const text = (n: number) => `${'y'.repeat(30_000)}.${textOf(n)}`
      const given = new Map<string, VerifiedToken>()
      for (const { what, n } of actions) {
        const token = text(n)
        if (what === 'keep') {
          const verified = goodFor(300 + n)
          given.set(token, verified)
          cache.add(token, verified, now_s)
        } else if (what === 'drop') {
          given.delete(token)
          cache.remove(token)
        } else {
          const claims = cache.find(token)?.claims
          if (claims !== undefined && claims !== given.get(token)?.claims) return false
        }
        const { bytes, tokens } = cache.status()
        if (bytes > maxBytes || tokens > given.size || bytes < tokens) return false
      }
      return true
    }),
  )
})
