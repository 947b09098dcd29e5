/** The options of a `PasswordHasher` whose hashes are cheap. */
export const cheapHashing = {
  memoryKib: 8,
  passes: 1,
  parallelism: 1,
  maxConcurrent: 2,
  maxQueued: 256,
  maxWaitMs: 2_000,
}
