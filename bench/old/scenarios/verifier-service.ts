import type { ServerSpec } from '../harness/server.ts'
import { program } from './programs.ts'

export interface VerifierSettings {
  readonly issuer: string
  readonly audience: string
  readonly jwksUrl: string
}

/** A verifier as it runs in production. */
export function verifierSpec(settings: VerifierSettings): ServerSpec {
  return {
    name: 'verifier',
    module: program,
    args: ['verifier'],
    env: {
      GATEPASS_PORT: '0',
      GATEPASS_ADMIN_PORT: '0',
      GATEPASS_ISSUER: settings.issuer,
      GATEPASS_AUDIENCE: settings.audience,
      GATEPASS_JWKS_URL: settings.jwksUrl,
    },
  }
}
