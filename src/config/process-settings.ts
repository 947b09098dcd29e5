import { z } from 'zod'
import { seconds } from './forms.ts'
import { asFlag, asNumber, asText, type Role, setting } from './setting.ts'

const both: readonly Role[] = ['issuer', 'verifier']
const issuer: readonly Role[] = ['issuer']

/** How a process works, whatever it serves. */
export const processSettings = {
  playground: setting(
    issuer,
    z.boolean().default(false),
    asFlag,
    'Whether the issuer serves [the playground](playground.md), a page to try everything on. `gatepass dev` turns it on; in production it refuses to start, and with several workers there is none.',
  ),
  log_level: setting(
    both,
    z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
    asText,
    'The least severe log line that is written. Audit lines are `info`; `debug` adds one line a request.',
  ),
  workers: setting(
    both,
    z.int().min(1).max(256).default(1),
    asNumber,
    'Processes behind one port. Each is a replica like any other; the admin port speaks for all.',
  ),
  drain_s: setting(
    both,
    seconds(0, 300).default(5),
    asNumber,
    'How long the service goes on taking requests after SIGTERM has turned its readiness to 503. Longer than a balancer needs to notice. `gatepass dev` sets 0.',
    { unit: 'seconds' },
  ),
  shutdown_s: setting(
    both,
    seconds(1, 300).default(10),
    asNumber,
    'How long requests in flight may take to end after that.',
    { unit: 'seconds' },
  ),
}
