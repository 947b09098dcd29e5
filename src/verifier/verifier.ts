import { GatepassError, isGatepassError } from '../core/errors.ts'
import type { AccessTokenClaims } from '../tokens/claims.ts'
import { type CompactToken, parseCompact } from '../tokens/compact.ts'
import { checkTimes } from './claims.ts'
import { checkDemands, type TokenDemands } from './demands.ts'
import { checkPossession } from './dpop/possession.ts'
import { DpopProofs } from './dpop/proofs.ts'
import { demandFirstList, firstList } from './first-list.ts'
import {
  isKeyInUse,
  isVerified,
  judge,
  judgeAnew,
  judgeAtOnce,
  type Refusals,
  refusedAtOnce,
  type TrustedIssuer,
  type VerifiedToken,
} from './judgement.ts'
import { type IssuersOptions, readOptions, type VerifierOptions } from './options.ts'
import { Outcomes } from './outcomes.ts'
import { isQuickToVerify } from './signature.ts'
import type { IssuerStatus, VerifierStatus } from './status.ts'
import type { CachedToken } from './token-cache.ts'

/** Checks access tokens from memory. Nothing but a GatepassError is ever thrown. */
export interface Verifier {
  /**
   * Resolves when the keys are here, and the list of what was revoked, though for that it waits no more
   * than two seconds; throws `keys_unavailable` if the keys cannot be had.
   */
  ready(): Promise<void>
  /**
   * The claims of a token, if it is accepted. Waits for one fetch of the keys if the token names a
   * key that is not known, unless one was made a moment ago; and after the start for the list of what
   * was revoked, as `ready` does.
   *
   * @param demands what this use asks for, beyond a token that is valid
   * @throws `token_malformed`, `token_algorithm`, `token_type`, `token_key_unknown`,
   *   `token_signature`, `token_claims`, `token_expired`, `token_not_yet_valid`, `token_revoked`,
   *   `scope_insufficient`, `token_unbound`, `dpop_proof_missing`, `dpop_proof_invalid`,
   *   `dpop_proof_replayed`, `revocations_stale`, `keys_unavailable`
   */
  verify(token: string, demands?: TokenDemands): Promise<AccessTokenClaims>
  /** The same answer at once, from what is in memory now: `revocations_stale` before the first list. */
  verifySync(token: string, demands?: TokenDemands): AccessTokenClaims
  /**
   * As `verify`, but without a promise where nothing has to be waited for, as for a token that is in
   * the cache. What it does not accept it throws, or the promise rejects.
   */
  verifyEagerly(
    token: string,
    demands?: TokenDemands,
  ): AccessTokenClaims | Promise<AccessTokenClaims>
  /**
   * The claims of a token that is in the cache and accepted. Undefined for any other, which is not
   * counted: another of these methods has to be asked about it.
   */
  verifyKnown(token: string, demands?: TokenDemands): AccessTokenClaims | undefined
  status(): VerifierStatus
  /** Stops fetching keys and following revocations. Tokens can still be checked with those in memory. */
  close(): Promise<void>
}

const noDemands: TokenDemands = {}

/**
 * Makes a verifier of the access tokens (RFC 9068) of one issuer, or of several.
 *
 * ```ts
 * import { createVerifier } from 'gatepass'
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
  const { issuers, cache, maxTokenBytes, unwrap, dpop, clock } = readOptions(options)
  const proofs = new DpopProofs(dpop)
  const outcomes = new Outcomes()
  const nowSeconds = () => Math.floor(clock.nowMs() / 1000)

  /** A token that was verified before, unless its key has left since. */
  function recall(token: string): CachedToken | undefined {
    const known = typeof token === 'string' ? cache?.find(token) : undefined
    if (known === undefined || isKeyInUse(known.origin)) return known
    cache?.drop(token)
    return undefined
  }

  /** What must hold at each use, whether the token was met before or not. */
  function accept(
    claims: AccessTokenClaims,
    { key, issuer }: Pick<VerifiedToken, 'key' | 'issuer'>,
    demands: TokenDemands,
    presented: string,
    now_s = nowSeconds(),
  ): AccessTokenClaims {
    checkTimes(claims, issuer.rules, now_s)
    if (issuer.revocations?.isRevoked(claims, key.kid)) throw new GatepassError('token_revoked')
    const proof = checkPossession(proofs, claims, presented, demands.dpop)
    checkDemands(claims, demands, issuer.revocations)
    // Last, so that a proof is used up by a token that is accepted, and by no other.
    if (proof !== null) proofs.use(proof, demands.dpop?.request)
    outcomes.accepted()
    return claims
  }

  /** Keeps what is good for now; whether this use of it is, does not matter. */
  function admit(token: string, found: VerifiedToken, demands: TokenDemands): AccessTokenClaims {
    const now_s = nowSeconds()
    cache?.keep(token, found, now_s)
    return accept(found.claims, found, demands, token, now_s)
  }

  function refusal(error: unknown): GatepassError {
    const refused = asOurs(error)
    outcomes.refused(refused.code)
    return refused
  }

  function open(token: string): CompactToken {
    cache?.countMiss()
    return parseCompact(unwrap(token), maxTokenBytes)
  }

  /** Verifies a token by the keys and the list that are in memory. */
  function verifiedAtOnce(parsed: CompactToken): VerifiedToken {
    const judged = judgeAtOnce(parsed, issuers)
    if (!isVerified(judged)) throw refusedAtOnce(parsed, judged)
    demandFirstList(judged)
    return judged
  }

  function verifySync(token: string, demands = noDemands): AccessTokenClaims {
    try {
      const known = recall(token)
      if (known !== undefined) return accept(known.claims, known.origin, demands, token)
      return admit(token, verifiedAtOnce(open(token)), demands)
    } catch (error) {
      throw refusal(error)
    }
  }

  function verifyEagerly(token: string, demands = noDemands) {
    try {
      const known = recall(token)
      if (known !== undefined) return accept(known.claims, known.origin, demands, token)
      const parsed = open(token)
      const isQuick = isQuickToVerify(parsed.header.alg)
      const judged = isQuick ? judgeAtOnce(parsed, issuers) : judge(parsed, issuers)
      const isDone = !(judged instanceof Promise) && isVerified(judged) && !firstList(judged)
      return isDone ? admit(token, judged, demands) : verifyLater(token, parsed, judged, demands)
    } catch (error) {
      throw refusal(error)
    }
  }

  async function verifyLater(
    token: string,
    parsed: CompactToken,
    judging: VerifiedToken | Refusals | Promise<VerifiedToken | Refusals>,
    demands: TokenDemands,
  ): Promise<AccessTokenClaims> {
    try {
      const judged = await judging
      const found = isVerified(judged) ? judged : await judgeAnew(parsed, judged)
      await firstList(found)
      // The key may have left the JWKS during these waits.
      return admit(token, isKeyInUse(found) ? found : verifiedAtOnce(parsed), demands)
    } catch (error) {
      throw refusal(error)
    }
  }

  function verifyKnown(token: string, demands = noDemands): AccessTokenClaims | undefined {
    try {
      const known = recall(token)
      return known && accept(known.claims, known.origin, demands, token)
    } catch {
      return undefined
    }
  }

  return {
    async ready() {
      await Promise.all(
        issuers.map(async ({ keys, revocations }) => {
          await keys.ready()
          await revocations?.ready?.()
        }),
      )
    },
    async verify(token, demands) {
      return verifyEagerly(token, demands)
    },
    verifyEagerly,
    verifySync,
    verifyKnown,
    status() {
      const { keys, revocations } = statusOf(issuers[0])
      return {
        keys,
        revocations,
        issuers: issuers.map(statusOf),
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

function statusOf({ rules, keys, revocations }: TrustedIssuer): IssuerStatus {
  return {
    issuer: rules.issuer,
    keys: keys.status(),
    revocations: revocations?.status?.() ?? null,
  }
}

/** A failure of a part that was passed in, such as the revocations, refuses the token too. */
function asOurs(error: unknown): GatepassError {
  return isGatepassError(error) ? error : new GatepassError('internal_error', { cause: error })
}
