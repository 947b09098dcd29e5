import { z } from 'zod'
import type { FieldProblem } from '../core/errors.ts'
import { baseUrl, seconds } from './forms.ts'
import { asNumber, asText, environmentName, type Role, setting } from './setting.ts'

/** What of them does not go together. */
export function revocationProblems(settings: {
  readonly revocations: string
  readonly revocations_poll_s: number
  readonly revocations_max_staleness_s?: number | undefined
}): FieldProblem[] {
  const { revocations, revocations_poll_s, revocations_max_staleness_s: max_s } = settings
  if (max_s === undefined) return []
  const pointer = environmentName('revocations_max_staleness_s')
  if (revocations === 'off') {
    return [{ pointer, detail: 'can only be set where GATEPASS_REVOCATIONS is not off' }]
  }
  if (max_s > revocations_poll_s) return []
  return [{ pointer, detail: 'must be longer than GATEPASS_REVOCATIONS_POLL_S' }]
}

const verifier: readonly Role[] = ['verifier']

/** How a verifier hears of sign-outs. */
export const revocationSettings = {
  revocations: setting(
    verifier,
    z.enum(['stream', 'poll', 'off']).default('stream'),
    asText,
    'How a verifier hears of [revocations](verifier.md#revocations): `stream` as they happen, and by polls where no stream gets through; `poll`; `off` accepts a token until it expires.',
  ),
  revocations_url: setting(
    verifier,
    baseUrl.optional(),
    asText,
    'Where the revocations are. Without it, `/revocations` beside the `/.well-known` of GATEPASS_JWKS_URL, or below the address of the issuer.',
  ),
  revocations_poll_s: setting(
    verifier,
    seconds(1, 3600).default(5),
    asNumber,
    'How often revocations are polled while there is no stream.',
    { unit: 'seconds' },
  ),
  revocations_max_staleness_s: setting(
    verifier,
    seconds(10, 86_400).optional(),
    asNumber,
    'A verifier whose revocations are older answers 503. Without it, it accepts what it does not know to be revoked, however long ago it heard of any.',
    { unit: 'seconds' },
  ),
}
