import { type Clock, systemClock } from '../core/clock.ts'
import { GatepassError } from '../core/errors.ts'
import type { AccessTokenClaims } from '../tokens/claims.ts'
import { maxTokenBytesDefault } from '../tokens/compact.ts'
import type { ClaimRules } from './claims.ts'
import { createFixedKeys } from './fixed-keys.ts'
import { type KeySet, readKeySet } from './key-set.ts'
import type { KeySource } from './key-source.ts'
import { findOptionProblems } from './option-problems.ts'
import { createRemoteKeys } from './remote-keys.ts'

export interface VerifierOptions {
  /** The one accepted `iss`. Unless keys are given, also the base address they are fetched from. */
  readonly issuer: string
  /** The accepted audiences: `aud` must hold one of them. null accepts a token for anybody. */
  readonly audience: string | readonly string[] | null
  /** A fixed JWK Set (RFC 7517 §5). Each key must have a `kid` and an `alg`. */
  readonly jwks?: { readonly keys: readonly object[] }
  /** Where the keys are, if not at `<issuer>/.well-known/jwks.json`. */
  readonly jwksUri?: string
  /** Keys from elsewhere, such as the issuer's own ring. Closed with the verifier. */
  readonly keys?: KeySource
  /** How far the issuer's clock and ours may be apart, 0 to 300 s. Default 5. */
  readonly clockTolerance_s?: number
  /** The longest token that is looked at, 256 to 65,536 bytes. Default 8192. */
  readonly maxTokenBytes?: number
  /** How long one fetch of the keys may take, 10 to 60,000 ms. Default 5000. */
  readonly fetchTimeoutMs?: number
  /** How long the last keys serve while no newer ones can be had, 1 s to 30 days. Default a day. */
  readonly keysMaxAge_s?: number
  /** What has been revoked. Asked at each use of a token, so it must answer from memory. */
  readonly revocations?: Revocations
  /** Where the time comes from. Default the system. */
  readonly clock?: Clock
}

export interface Revocations {
  isRevoked(claims: AccessTokenClaims): boolean
}

/** The options, checked, with the defaults in place. */
export interface VerifierSettings {
  readonly rules: ClaimRules
  readonly keys: KeySource
  readonly maxTokenBytes: number
  readonly revocations: Revocations | null
  readonly clock: Clock
}

const day_s = 24 * 60 * 60

/** The options that are whole numbers. */
const numbers = {
  clockTolerance_s: { min: 0, max: 300, byDefault: 5 },
  maxTokenBytes: { min: 256, max: 65_536, byDefault: maxTokenBytesDefault },
  fetchTimeoutMs: { min: 10, max: 60_000, byDefault: 5000 },
  keysMaxAge_s: { min: 1, max: 30 * day_s, byDefault: day_s },
} as const

/** @throws `config_invalid`, with every problem in `problems` */
export function readOptions(options: VerifierOptions): VerifierSettings {
  const problems = findOptionProblems(options, numbers)
  let keySet: KeySet | null = null
  try {
    if (options?.jwks !== undefined) keySet = readKeySet(options.jwks)
  } catch (error) {
    problems.push({ pointer: '/jwks', detail: error instanceof Error ? error.message : '' })
  }
  if (problems.length > 0) {
    const all = problems.map(({ pointer, detail }) => `${pointer}: ${detail}`).join('; ')
    throw new GatepassError('config_invalid', { detail: `Verifier options: ${all}`, problems })
  }
  const { audience, clock = systemClock } = options
  return {
    rules: {
      issuer: options.issuer,
      audiences: typeof audience === 'string' ? [audience] : audience && [...audience],
      clockTolerance_s: options.clockTolerance_s ?? numbers.clockTolerance_s.byDefault,
    },
    keys: options.keys ?? (keySet ? createFixedKeys(keySet) : openRemoteKeys(options, clock)),
    maxTokenBytes: options.maxTokenBytes ?? numbers.maxTokenBytes.byDefault,
    revocations: options.revocations ?? null,
    clock,
  }
}

function openRemoteKeys(options: VerifierOptions, clock: Clock): KeySource {
  const { issuer } = options
  const base = issuer.endsWith('/') ? issuer.slice(0, -1) : issuer
  return createRemoteKeys({
    jwksUri: options.jwksUri ?? `${base}/.well-known/jwks.json`,
    fetchTimeoutMs: options.fetchTimeoutMs ?? numbers.fetchTimeoutMs.byDefault,
    maxAge_s: options.keysMaxAge_s ?? numbers.keysMaxAge_s.byDefault,
    clock,
  })
}
