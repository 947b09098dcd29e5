import { nowSeconds } from '../core/clock.ts'
import { asGatepassError, GatepassError } from '../core/errors.ts'
import { isPromise, synchronous } from '../core/promise.ts'
import type { AccessTokenClaims, SignedAccessToken } from '../tokens/access-token.ts'
import { checkTimes } from './claims.ts'
import {
  finalMismatches,
  isKeyInUse,
  issuersToRefresh,
  isVerified,
  type MatchResult,
  matchIssuer,
  mismatchError,
  type TrustedIssuer,
  type VerifiedToken,
} from './issuer-matching.ts'
import { type IssuersOptions, readOptions, type VerifierOptions } from './options.ts'
import { checkPossession, checkRequirements, type TokenRequirements } from './requirements.ts'
import { verifySignature, verifySignatureSync } from './signature.ts'
import { type IssuerStatus, OutcomeCounter, type VerifierStatus } from './status.ts'

/** Verifies access tokens from memory. Every error is a GatepassError. */
export interface Verifier {
  /**
   * Resolves when the keys and the revocation list are loaded. Waits for the list for two seconds
   * at most.
   *
   * @throws `keys_unavailable` if the keys cannot be fetched
   */
  ready(): Promise<void>
  /**
   * Verifies an access token and returns its claims.
   *
   * Waits for one fetch of the keys if the token names an unknown key, unless the keys were fetched a
   * moment ago. After the start, waits for the revocation list as `ready` does.
   *
   * @param requirements what this use requires beyond a valid token
   * @throws `token_malformed`, `token_algorithm`, `token_type`, `token_key_unknown`,
   *   `token_signature`, `token_claims`, `token_expired`, `token_not_yet_valid`, `token_revoked`,
   *   `scope_insufficient`, `token_unbound`, `dpop_proof_missing`, `dpop_proof_invalid`,
   *   `dpop_proof_replayed`, `revocations_stale`, `keys_unavailable`; `config_invalid` for a misspelled
   *   or invalid requirement; `internal_error` if a component of the application fails
   */
  verify(token: string, requirements?: TokenRequirements): Promise<AccessTokenClaims>
  /**
   * Verifies a token with the keys and the revocation list in memory.
   *
   * @throws as `verify`; `revocations_stale` where `verify` would wait for the revocation list
   */
  verifySync(token: string, requirements?: TokenRequirements): AccessTokenClaims
  status(): VerifierStatus
  /** Stops fetching keys and following revocations. The verifier still verifies from memory. */
  close(): Promise<void>
}

type VerifyNow = (
  token: string,
  requirements?: TokenRequirements,
) => AccessTokenClaims | Promise<AccessTokenClaims>

/** A property of the method `verify`. A spy of a test, or a Proxy, has the property of what it wraps. */
const now = Symbol('gatepass.now')

interface VerifyVariant {
  /** The method that has the property. */
  readonly of: Verifier['verify']
  readonly verifyNow: VerifyNow
}

/**
 * Returns the method `verify` for adapters. It returns no promise if there is nothing to wait for: for
 * a cached token a promise costs more than the checks.
 */
export function verifyNowOf(verifier: Verifier): VerifyNow {
  const verify: Verifier['verify'] & { readonly [now]?: VerifyVariant } = verifier.verify
  const variant = verify[now]
  return variant?.of === verify ? variant.verifyNow : (...given) => verifier.verify(...given)
}

const noRequirements: TokenRequirements = {}

/** @throws `config_invalid` for any other value, because a requirement that got lost must not be ignored */
function readRequirements(given: TokenRequirements | undefined): TokenRequirements {
  if (given === undefined) return noRequirements
  if (typeof given === 'object' && given !== null) return given
  throw new GatepassError('config_invalid', { detail: 'The requirements must be an object.' })
}

/**
 * Creates a verifier for the access tokens (RFC 9068) of one issuer, or of several.
 *
 * ```ts
 * import { createVerifier } from '@gatepass/verifier'
 *
 * const verifier = createVerifier({
 *   issuer: 'https://auth.example.com',
 *   audience: 'https://api.example.com',
 * })
 * await verifier.ready()
 *
 * export async function subjectOf(token: string): Promise<string> {
 *   const claims = await verifier.verify(token, { scope: 'orders:read' })
 *   return claims.sub
 * }
 * ```
 *
 * @throws `config_invalid`, with every problem in `problems`
 */
export function createVerifier(options: VerifierOptions | IssuersOptions): Verifier {
  const { issuers, cache, decrypt, parse, proofs, clock } = readOptions(options)
  const outcomes = new OutcomeCounter()

  /** Returns a cached token. A token whose key left the JWKS is removed. */
  function lookUp(token: string): VerifiedToken | undefined {
    const cached = typeof token === 'string' ? cache?.find(token) : undefined
    if (cached === undefined || isKeyInUse(cached)) return cached
    cache?.remove(token)
    return undefined
  }

  /** Checks what can change between two uses of a token, cached or not. */
  function accept(
    token: string,
    verified: VerifiedToken,
    requirements: TokenRequirements,
  ): AccessTokenClaims {
    const { claims, issuer } = verified
    checkTimes(claims, issuer.rules, nowSeconds(clock))
    if (isRevoked(verified)) throw new GatepassError('token_revoked')
    const proof = checkPossession(proofs, claims, token, requirements.dpop)
    checkRequirements(claims, requirements, issuer.revocations)
    // This check comes last, so that only an accepted token uses up its proof.
    if (proof !== null) proofs.use(proof, requirements.dpop?.request)
    outcomes.accepted()
    return claims
  }

  /** Caches a verified token, then checks this use of it. */
  function admit(token: string, verified: VerifiedToken, requirements: TokenRequirements) {
    cache?.add(token, verified, nowSeconds(clock))
    return accept(token, verified, requirements)
  }

  function reject(thrown: unknown): never {
    // A component that was passed in, such as the revocations, may throw anything.
    const error = asGatepassError(thrown)
    outcomes.refused(error.code)
    throw error
  }

  /** Verifies with the keys and the revocation list in memory. */
  function verifyFromMemory(parsed: SignedAccessToken): VerifiedToken {
    const result = matchIssuer(parsed, issuers, verifySignatureSync) as MatchResult
    if (!isVerified(result)) {
      // On a runtime where fetches end with their request, no fetch starts without a caller that
      // waits for it.
      const stale = issuersToRefresh(result).filter(({ keys }) => !keys.renew)
      refreshKeys(stale, parsed).catch(() => {}) // no caller waits for the keys
      throw mismatchError(result)
    }
    const list = firstRevocationList(result)
    if (list === undefined) return result
    list.catch(() => {}) // no caller waits for the list
    throw new GatepassError('revocations_stale')
  }

  /** Matches again with fresh keys if no issuer matched, and waits for the revocation list. */
  async function completeMatch(
    parsed: SignedAccessToken,
    pending: MatchResult | Promise<MatchResult>,
  ): Promise<VerifiedToken> {
    let result = await pending
    if (!isVerified(result)) {
      const retried = await matchWithFreshKeys(parsed, issuersToRefresh(result))
      if (!isVerified(retried)) throw mismatchError([...finalMismatches(result), ...retried])
      result = retried
    }
    await result.issuer.keys.renew?.()
    await firstRevocationList(result)
    // The key may have left the JWKS during these waits.
    return isKeyInUse(result) ? result : verifyFromMemory(parsed)
  }

  function verifySync(token: string, given?: TokenRequirements): AccessTokenClaims {
    try {
      const requirements = readRequirements(given)
      const cached = lookUp(token)
      if (cached !== undefined) return accept(token, cached, requirements)
      return admit(token, verifyFromMemory(parse(decrypt(token))), requirements)
    } catch (error) {
      return reject(error)
    }
  }

  /** @param isRenewed whether the keys have just been renewed for this call */
  function verifyUnlessPending(
    token: string,
    given?: TokenRequirements,
    isRenewed = false,
  ): AccessTokenClaims | Promise<AccessTokenClaims> {
    try {
      const requirements = readRequirements(given)
      const cached = lookUp(token)
      const renewal = isRenewed ? undefined : cached?.issuer.keys.renew?.()
      if (renewal !== undefined) {
        return renewal.then(() => verifyUnlessPending(token, requirements, true), reject)
      }
      if (cached !== undefined) return accept(token, cached, requirements)
      const parsed = parse(decrypt(token))
      const result = matchIssuer(parsed, issuers, verifySignature)
      const isComplete = !isPromise(result) && isVerified(result) && !mayWait(result)
      if (isComplete) return admit(token, result, requirements)
      return completeMatch(parsed, result)
        .then((verified) => admit(token, verified, requirements))
        .catch(reject)
    } catch (error) {
      return reject(error)
    }
  }

  const verify = async (token: string, requirements?: TokenRequirements) =>
    verifyUnlessPending(token, requirements)

  return {
    async ready() {
      await Promise.all(
        issuers.map(async ({ keys, revocations }) => {
          await keys.ready()
          await revocations?.ready?.()
        }),
      )
    },
    verify: Object.assign(verify, { [now]: { of: verify, verifyNow: verifyUnlessPending } }),
    verifySync,
    status() {
      const statuses = issuers.map(statusOf)
      const { keys, revocations } = statuses[0] as IssuerStatus
      return {
        keys,
        revocations,
        issuers: statuses,
        cache: cache?.status() ?? null,
        outcomes: outcomes.counts(),
      }
    },
    async close() {
      await Promise.all(
        issuers.flatMap(({ keys, revocations }) => [keys.close(), revocations?.close?.()]),
      )
    },
  }
}

async function refreshKeys(issuers: readonly TrustedIssuer[], { header }: SignedAccessToken) {
  await Promise.all(issuers.map(({ keys }) => keys.refresh(header.kid)))
}

/** Matches each issuer as soon as its keys are fresh: a slow issuer delays no token of another. */
async function matchWithFreshKeys(
  parsed: SignedAccessToken,
  issuers: readonly TrustedIssuer[],
): Promise<MatchResult> {
  const results = issuers.map(async (issuer) => {
    await refreshKeys([issuer], parsed)
    return matchIssuer(parsed, [issuer], verifySignature)
  })
  const matches = results.map(async (pending) => {
    const result = await pending
    return isVerified(result) ? result : Promise.reject(new Error('the issuer does not match'))
  })
  return Promise.any(matches).catch(async () => {
    const mismatches = await Promise.all(results)
    return mismatches.flatMap((result) => (isVerified(result) ? [] : result))
  })
}

/** The promise of an asynchronous list would count as revoked. */
function isRevoked({ claims, key, issuer }: VerifiedToken): boolean {
  const answer = issuer.revocations?.isRevoked(claims, key.kid) ?? false
  return synchronous(answer, 'isRevoked returned a promise. It must answer from memory.')
}

/**
 * Returns the promise of the first revocation list while it is pending. A verifier that starts while
 * its issuer fails must not accept revoked tokens.
 */
function firstRevocationList({ issuer }: VerifiedToken): Promise<void> | undefined {
  return issuer.revocations?.isPending ? issuer.revocations.ready?.() : undefined
}

/** Tells whether a verified token may have to wait for keys or for the first revocation list. */
function mayWait(verified: VerifiedToken): boolean {
  return verified.issuer.keys.renew !== undefined || firstRevocationList(verified) !== undefined
}

function statusOf({ rules, keys, revocations }: TrustedIssuer): IssuerStatus {
  return {
    issuer: rules.issuer,
    keys: keys.status(),
    revocations: revocations?.status?.() ?? null,
  }
}
