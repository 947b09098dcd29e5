import { createClientSecret } from '../../oauth/client-secret.ts'
import type { CliContext } from '../context.ts'

/** `gatepass clients secret`: makes a secret for a client, and its hash for GATEPASS_CLIENTS. */
export function makeClientSecret(context: CliContext): void {
  context.stdout.write(`${JSON.stringify(createClientSecret())}\n`)
}
