/** The public entry `gatepass`: the verifier, without a framework, a store or a setting behind it. */
export type { Clock } from '../core/clock.ts'
export {
  type ErrorCode,
  type FieldProblem,
  GatepassError,
  isGatepassError,
} from '../core/errors.ts'
export type { Algorithm } from '../tokens/algorithms.ts'
export type { AccessTokenClaims } from '../tokens/claims.ts'
export type { VerificationKey } from '../tokens/verification-key.ts'
export type { RefusedKey } from './key-set.ts'
export type { KeyLookup, KeySource, KeySourceStatus } from './key-source.ts'
export type { Revocations, VerifierOptions } from './options.ts'
export { createVerifier, type Verifier, type VerifierStatus } from './verifier.ts'
