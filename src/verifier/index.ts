/** The public entry `@gatepass/verifier`: the verifier library. */
export type { Clock } from '../core/clock.ts'
export {
  type ErrorCode,
  type FieldProblem,
  GatepassError,
  isGatepassError,
} from '../core/errors.ts'
export type { JsonValue } from '../core/json.ts'
export type { AccessTokenClaims } from '../tokens/access-token.ts'
export type { Algorithm } from '../tokens/algorithms.ts'
export {
  type ImportedKey,
  importVerificationKey,
  type PublicKeyObject,
  type VerificationKey,
} from '../tokens/verification-key.ts'
export type { TokenProfile } from './claims.ts'
export type { KeyLookup, KeySource, KeySourceStatus, RefusedKey } from './keys/key-source.ts'
export type {
  CommonOptions,
  IssuerOptions,
  IssuersOptions,
  RevocationOptions,
  VerifierOptions,
} from './options.ts'
export type { DpopPresentation, TokenRequirements } from './requirements.ts'
export type { Revocations, RevocationsStatus } from './revocations/revocation-list.ts'
export type { IssuerStatus, OutcomeCounts, VerificationOutcome, VerifierStatus } from './status.ts'
export type { TokenCacheStatus } from './token-cache.ts'
export { createVerifier, type Verifier } from './verifier.ts'
