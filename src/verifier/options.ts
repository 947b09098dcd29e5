import { type Clock, systemClock } from '../core/clock.ts'
import { GatepassError } from '../core/errors.ts'
import {
  accessTokenType,
  createAccessTokenParser,
  defaultMaxTokenBytes,
  type SignedAccessToken,
} from '../tokens/access-token.ts'
import { type ClaimRules, readTokenFormat, type TokenProfile } from './claims.ts'
import { type Decrypt, type DecryptionOptions, readDecrypt } from './decryption.ts'
import { type AcceptedNonces, DpopProofs } from './dpop/dpop-proofs.ts'
import type { TrustedIssuer } from './issuer-matching.ts'
import { createFixedKeys, type KeySource, readKeySet } from './keys/key-source.ts'
import { RemoteKeys, RequestScopedKeys } from './keys/remote-keys.ts'
import {
  areForSeveralIssuers,
  feedAddress,
  findOptionProblems,
  isRequestScoped,
  jwksAddress,
} from './option-problems.ts'
import { FeedFollower } from './revocations/feed-follower.ts'
import type { Revocations } from './revocations/revocation-list.ts'
import { TokenCache } from './token-cache.ts'

/** An issuer, and where its keys are. */
export interface IssuerOptions {
  /** The accepted `iss`. Also the base address of the keys, unless another option has the keys. */
  readonly issuer: string
  /** The accepted audiences: `aud` must contain one of them. null accepts any `aud`. */
  readonly audience: string | readonly string[] | null
  /** A fixed JWK Set (RFC 7517 §5). Each key must have a `kid` and an `alg`. */
  readonly jwks?: { readonly keys: readonly object[] }
  /** Address of the JWK Set. Default: `<issuer>/.well-known/jwks.json`. */
  readonly jwksUri?: string
  /** File that keeps the last good JWK Set, so that a start does not need the issuer. */
  readonly jwksFile?: string
  /** A key source of the application. Closed with the verifier. */
  readonly keys?: KeySource
  /**
   * The access tokens of an issuer that does not follow RFC 9068. Default: RFC 9068, with a `typ` of
   * `tokenTypes`. The profile of an issuer changes nothing for other issuers.
   */
  readonly profile?: TokenProfile
  /** Timeout of one fetch of the keys, or of the revocation list, 10 to 60,000 ms. Default 5000. */
  readonly fetchTimeoutMs?: number
  /** How long the last keys are used while no newer keys can be fetched, 1 s to 30 days. Default a day. */
  readonly maxJwksAgeSeconds?: number
  /**
   * Whether to follow the revocation feed of the issuer: true, or options. Or a list of the
   * application, which the verifier asks at each use of a token; it must answer from memory.
   * Default false.
   */
  readonly revocations?: boolean | RevocationOptions | Revocations
}

/** How to follow the revocation feed of an issuer. */
export interface RevocationOptions {
  /**
   * Address of the snapshot. The stream is at `/stream` below it. Default: `<issuer>/revocations`, or beside
   * the `/.well-known` of `jwksUri`.
   */
  readonly uri?: string
  /** Whether to follow the stream; false polls only. Default true. */
  readonly stream?: boolean
  /** Interval of polls while there is no stream, 1 to 3600 s. Default 5. */
  readonly pollIntervalSeconds?: number
  /** A stream that is silent for this time is closed, 1 to 300 s. Issuers send every 5 s. Default 12. */
  readonly streamTimeoutSeconds?: number
  /**
   * Limit of revoked sessions and users in memory, 100 to 5,000,000. Beyond it, all tokens signed until
   * the oldest entries are refused. Default 200,000, about 20 MB when full.
   */
  readonly maxEntries?: number
  /**
   * A use without `failClosed` refuses tokens when the list is older than this, 10 to 86,400 s. By
   * default it accepts tokens that are not known to be revoked.
   */
  readonly maxStalenessSeconds?: number
}

/** Options for the tokens of every issuer. */
export interface CommonOptions extends DecryptionOptions {
  /** Largest accepted difference between the clocks of issuer and verifier, 0 to 300 s. Default 5. */
  readonly clockToleranceSeconds?: number
  /**
   * Accepted values of `typ`. Default `['at+jwt']` (RFC 9068 §4). With `JWT`, only the claims
   * distinguish access tokens from other tokens: an access token has `client_id` and `jti`. Applies
   * to issuers without a `profile`.
   */
  readonly tokenTypes?: readonly ('at+jwt' | 'JWT')[]
  /** Longest accepted token, 256 to 65,536 bytes. Default 8192. */
  readonly maxTokenBytes?: number
  /** Largest accepted age of a DPoP proof (RFC 9449 §4.3), 5 to 300 s. Default 60. */
  readonly maxDpopProofAgeSeconds?: number
  /**
   * Limit of remembered DPoP proofs, which are accepted once, 64 to 10,000,000. Beyond it, proofs are
   * accepted for a shorter time. Default 100,000, about 7 MB when full.
   */
  readonly maxDpopProofs?: number
  /**
   * Memory limit of the cache of verified tokens, 1 MiB to 2 GiB; false to verify a token at each
   * use. Default 128 MiB, enough for 100,000 tokens.
   */
  readonly cache?: false | { readonly maxBytes: number }
  /**
   * The nonces of the issuer itself (RFC 9449 §9).
   * @internal
   */
  readonly dpopNonces?: AcceptedNonces | undefined
  /** Source of the time. Default: the system clock. */
  readonly clock?: Clock
}

/** A verifier for the tokens of one issuer. */
export interface VerifierOptions extends IssuerOptions, CommonOptions {}

/** A verifier for the tokens of several issuers. A key of one issuer accepts no token of another. */
export interface IssuersOptions extends CommonOptions {
  readonly issuers: readonly IssuerOptions[]
}

/**
 * The components of a verifier, opened by its checked options.
 * @internal
 */
export interface VerifierSettings {
  /** One at least. */
  readonly issuers: readonly TrustedIssuer[]
  readonly cache: TokenCache | null
  readonly decrypt: Decrypt
  readonly parse: (token: string) => SignedAccessToken
  readonly proofs: DpopProofs
  readonly clock: Clock
}

const defaultFetchTimeoutMs = 5000

/**
 * @throws `config_invalid`, with every problem in `problems`
 * @internal
 */
export function readOptions(options: VerifierOptions | IssuersOptions): VerifierSettings {
  const problems = findOptionProblems(options)
  const { maxTokenBytes = defaultMaxTokenBytes } = options ?? {}
  const decrypt = readDecrypt(options ?? {}, maxTokenBytes, problems)
  if (problems.length > 0) {
    const all = problems
      .map(({ pointer, detail }) => (pointer && `${pointer}: `) + detail)
      .join('; ')
    throw new GatepassError('config_invalid', { detail: `Verifier options: ${all}`, problems })
  }
  const {
    clock = systemClock,
    clockToleranceSeconds = 5,
    tokenTypes = [accessTokenType],
    cache,
  } = options
  const given = areForSeveralIssuers(options) ? options.issuers : [options]
  const issuers = given.map((issuer) => {
    const format = readTokenFormat(issuer.profile, tokenTypes)
    return openIssuer(issuer, clock, { clockToleranceSeconds, format })
  })
  const acceptedTypes = new Set(issuers.flatMap(({ rules }) => [...rules.format.types]))
  return {
    issuers,
    cache: cache === false ? null : new TokenCache(cache?.maxBytes),
    decrypt,
    parse: createAccessTokenParser(maxTokenBytes, acceptedTypes),
    proofs: new DpopProofs({
      maxAgeSeconds: options.maxDpopProofAgeSeconds,
      maxProofs: options.maxDpopProofs,
      clockToleranceSeconds,
      nonces: options.dpopNonces,
      clock,
    }),
    clock,
  }
}

function openIssuer(
  options: IssuerOptions,
  clock: Clock,
  shared: Pick<ClaimRules, 'clockToleranceSeconds' | 'format'>,
): TrustedIssuer {
  const { issuer, audience } = options
  const keys = options.keys ?? openKeys(options, clock)
  return {
    rules: {
      issuer,
      audiences: typeof audience === 'string' ? [audience] : audience && [...audience],
      ...shared,
    },
    keys,
    revocations: openRevocations(options, keys, clock, shared.clockToleranceSeconds),
  }
}

function openKeys(options: IssuerOptions, clock: Clock): KeySource {
  if (options.jwks !== undefined) return createFixedKeys(readKeySet(options.jwks))
  const published = {
    jwksUri: options.jwksUri ?? jwksAddress(options.issuer),
    fetchTimeoutMs: options.fetchTimeoutMs ?? defaultFetchTimeoutMs,
    maxAgeSeconds: options.maxJwksAgeSeconds ?? 24 * 60 * 60,
    clock,
  }
  if (isRequestScoped()) return new RequestScopedKeys(published)
  return new RemoteKeys({ ...published, jwksFile: options.jwksFile })
}

/** Returns the list of the application, or a follower of the feed; null if revocations are ignored. */
function openRevocations(
  options: IssuerOptions,
  keys: KeySource,
  clock: Clock,
  clockToleranceSeconds: number,
): Revocations | null {
  const { issuer, revocations = false } = options
  if (revocations === false) return null
  if (revocations !== true && 'isRevoked' in revocations) return revocations
  const given = revocations === true ? {} : revocations
  return new FeedFollower({
    issuer,
    uri: given.uri ?? feedAddress(issuer, options.jwksUri),
    keys,
    clock,
    clockToleranceSeconds,
    fetchTimeoutMs: options.fetchTimeoutMs ?? defaultFetchTimeoutMs,
    stream: given.stream ?? true,
    pollIntervalSeconds: given.pollIntervalSeconds ?? 5,
    streamTimeoutSeconds: given.streamTimeoutSeconds ?? 12,
    maxEntries: given.maxEntries ?? 200_000,
    maxStalenessSeconds: given.maxStalenessSeconds,
  })
}
