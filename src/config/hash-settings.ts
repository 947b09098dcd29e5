import { z } from 'zod'
import { seconds } from './forms.ts'
import { asNumber, type Role, setting } from './setting.ts'

const issuer: readonly Role[] = ['issuer']

/** What the hash of a password costs, and how many logins may wait for theirs. */
export const hashSettings = {
  argon2_memory_kib: setting(
    issuer,
    z.int().min(8).max(1_048_576).default(19_456),
    asNumber,
    'Memory of one Argon2id hash. A hash made with less is made again at the next login.',
    { unit: 'KiB' },
  ),
  argon2_passes: setting(
    issuer,
    z.int().min(1).max(64).default(2),
    asNumber,
    'Passes of Argon2id over its memory.',
  ),
  argon2_parallelism: setting(
    issuer,
    z.int().min(1).max(16).default(1),
    asNumber,
    'Lanes of Argon2id.',
  ),
  hash_queue_max: setting(
    issuer,
    z.int().min(1).max(100_000).default(256),
    asNumber,
    'How many logins may wait for their hash; the next one gets 503 and Retry-After.',
  ),
  hash_queue_wait_s: setting(
    issuer,
    seconds(1, 60).default(2),
    asNumber,
    'How long a login may wait for its hash; one that would wait longer gets 503 and Retry-After.',
    { unit: 'seconds' },
  ),
}
