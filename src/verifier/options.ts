import { type Clock, systemClock } from '../core/clock.ts'
import { type FieldProblem, GatepassError } from '../core/errors.ts'
import { maxTokenBytesDefault } from '../tokens/access-token.ts'
import { type DecryptionOptions, readUnwrap } from './decryption.ts'
import { type DpopProofsOptions, dpopDefaults } from './dpop/dpop-proofs.ts'
import type { TrustedIssuer } from './issuer-matching.ts'
import { type KeySet, readKeySet } from './keys/key-set.ts'
import { createFixedKeys, type KeySource } from './keys/key-source.ts'
import { createRemoteKeys } from './keys/remote-keys.ts'
import { createRequestKeys } from './keys/request-scoped-keys.ts'
import { findOptionProblems } from './option-problems.ts'
import { openRevocations, type RevocationOptions } from './revocations/options.ts'
import type { Revocations } from './revocations/revocation-list.ts'
import { isRequestScoped } from './runtime.ts'
import { cacheBytesRange, TokenCache } from './token-cache.ts'

/** An issuer, and where its keys are. */
export interface IssuerOptions {
  /** The one accepted `iss`. Unless keys are given, also the base address they are fetched from. */
  readonly issuer: string
  /** The accepted audiences: `aud` must hold one of them. null accepts a token for anybody. */
  readonly audience: string | readonly string[] | null
  /** A fixed JWK Set (RFC 7517 §5). Each key must have a `kid` and an `alg`. */
  readonly jwks?: { readonly keys: readonly object[] }
  /** Where the keys are, if not at `<issuer>/.well-known/jwks.json`. */
  readonly jwksUri?: string
  /** A file that keeps the last good JWK Set, so that a start does not need the issuer. */
  readonly jwksFile?: string
  /** Keys from elsewhere, such as the issuer's own ring. Closed with the verifier. */
  readonly keys?: KeySource
  /** How long one fetch of the keys may take, 10 to 60,000 ms. Default 5000. */
  readonly fetchTimeoutMs?: number
  /** How long the last keys serve while no newer ones can be had, 1 s to 30 days. Default a day. */
  readonly keysMaxAge_s?: number
  /**
   * What this issuer has revoked: true, or options, to follow its feed; or a list of your own, which
   * is asked at each use of a token, so it must answer from memory. Default none.
   */
  readonly revocations?: boolean | RevocationOptions | Revocations
}

/** What holds for the tokens of every issuer. */
export interface CommonOptions extends DecryptionOptions {
  /** How far an issuer's clock and ours may be apart, 0 to 300 s. Default 5. */
  readonly clockTolerance_s?: number
  /** The longest token that is looked at, 256 to 65,536 bytes. Default 8192. */
  readonly maxTokenBytes?: number
  /** How old a DPoP proof may be (RFC 9449 §4.3), 5 to 300 s. Default 60. */
  readonly dpopMaxAge_s?: number
  /**
   * How many DPoP proofs are remembered, so that none is accepted twice, 64 to 10,000,000. Beyond,
   * the time in which a proof is accepted gets shorter. Default 100,000, some 7 MB when full.
   */
  readonly dpopProofsMax?: number
  /**
   * How much memory the tokens that were found good may take, 1 MiB to 2 GiB, or false to check each
   * anew. Default 128 MiB, which is enough for 100,000 tokens.
   */
  readonly cache?: false | { readonly maxBytes: number }
  /** Where the time comes from. Default the system. */
  readonly clock?: Clock
}

/** A verifier of one issuer's tokens. */
export interface VerifierOptions extends IssuerOptions, CommonOptions {}

/** A verifier of several issuers' tokens. A key of one accepts no token of another. */
export interface IssuersOptions extends CommonOptions {
  readonly issuers: readonly IssuerOptions[]
}

/** The options, checked, with the defaults in place. */
export interface VerifierSettings {
  readonly issuers: readonly [TrustedIssuer, ...TrustedIssuer[]]
  readonly cache: TokenCache | null
  readonly maxTokenBytes: number
  /** Has the compact JWS of what was presented; throws a GatepassError if there is none in it. */
  readonly unwrap: (presented: string) => string
  readonly dpop: DpopProofsOptions
  readonly clock: Clock
}

const day_s = 24 * 60 * 60

/** The options that are whole numbers. */
const issuerNumbers = {
  fetchTimeoutMs: { min: 10, max: 60_000, byDefault: 5000 },
  keysMaxAge_s: { min: 1, max: 30 * day_s, byDefault: day_s },
} as const

const commonNumbers = {
  clockTolerance_s: { min: 0, max: 300, byDefault: 5 },
  maxTokenBytes: { min: 256, max: 65_536, byDefault: maxTokenBytesDefault },
  dpopMaxAge_s: { min: 5, max: 300, byDefault: dpopDefaults.maxAge_s },
  dpopProofsMax: { min: 64, max: 10_000_000, byDefault: dpopDefaults.proofsMax },
} as const

/** @throws `config_invalid`, with every problem in `problems` */
export function readOptions(options: VerifierOptions | IssuersOptions): VerifierSettings {
  const problems = findOptionProblems(options, { common: commonNumbers, issuer: issuerNumbers })
  const keySets = readKeySets(options, problems)
  const maxTokenBytes = options?.maxTokenBytes ?? commonNumbers.maxTokenBytes.byDefault
  const unwrap = readUnwrap(options ?? {}, maxTokenBytes, problems)
  if (problems.length > 0) {
    const all = problems.map(({ pointer, detail }) => `${pointer}: ${detail}`).join('; ')
    throw new GatepassError('config_invalid', { detail: `Verifier options: ${all}`, problems })
  }
  const { clock = systemClock } = options
  const clockTolerance_s = options.clockTolerance_s ?? commonNumbers.clockTolerance_s.byDefault
  return {
    issuers: eachIssuer(options).map((each, at): TrustedIssuer => {
      const keys = each.keys ?? openKeys(each, keySets[at] ?? null, clock)
      const fetchTimeoutMs = each.fetchTimeoutMs ?? issuerNumbers.fetchTimeoutMs.byDefault
      return {
        rules: { issuer: each.issuer, audiences: audiencesOf(each), clockTolerance_s },
        keys,
        revocations: openRevocations(each, { keys, clock, clockTolerance_s, fetchTimeoutMs }),
      }
      // There is one at least: the problems say so otherwise.
    }) as [TrustedIssuer, ...TrustedIssuer[]],
    cache: openCache(options),
    maxTokenBytes,
    unwrap,
    dpop: {
      maxAge_s: options.dpopMaxAge_s ?? dpopDefaults.maxAge_s,
      proofsMax: options.dpopProofsMax ?? dpopDefaults.proofsMax,
      clockTolerance_s,
      clock,
    },
    clock,
  }
}

function eachIssuer(options: VerifierOptions | IssuersOptions): readonly IssuerOptions[] {
  return 'issuers' in options ? options.issuers : [options]
}

/** The fixed key sets, one an issuer that has one. What is wrong with them joins `problems`. */
function readKeySets(
  options: VerifierOptions | IssuersOptions,
  problems: FieldProblem[],
): (KeySet | null)[] {
  const isOne = !Object.hasOwn(Object(options), 'issuers')
  const given: unknown = isOne ? [options] : (options as IssuersOptions).issuers
  if (!Array.isArray(given)) return []
  return given.map((each: IssuerOptions | null, at) => {
    if (each?.jwks === undefined) return null
    try {
      return readKeySet(each.jwks)
    } catch (error) {
      const pointer = isOne ? '/jwks' : `/issuers/${at}/jwks`
      problems.push({ pointer, detail: error instanceof Error ? error.message : '' })
      return null
    }
  })
}

function openCache({ cache }: CommonOptions): TokenCache | null {
  return cache === false ? null : new TokenCache(cache?.maxBytes ?? cacheBytesRange.byDefault)
}

function audiencesOf({ audience }: IssuerOptions): readonly string[] | null {
  return typeof audience === 'string' ? [audience] : audience && [...audience]
}

function openKeys(options: IssuerOptions, keySet: KeySet | null, clock: Clock): KeySource {
  if (keySet !== null) return createFixedKeys(keySet)
  const { issuer } = options
  const base = issuer.endsWith('/') ? issuer.slice(0, -1) : issuer
  const published = {
    jwksUri: options.jwksUri ?? `${base}/.well-known/jwks.json`,
    fetchTimeoutMs: options.fetchTimeoutMs ?? issuerNumbers.fetchTimeoutMs.byDefault,
    maxAge_s: options.keysMaxAge_s ?? issuerNumbers.keysMaxAge_s.byDefault,
    clock,
  }
  if (isRequestScoped()) return createRequestKeys(published)
  return createRemoteKeys({ ...published, jwksFile: options.jwksFile })
}
