/** The cost that Gatepass has by default; the issuer under test is set to it, whatever comes. */
export const argon2idCost = { memory_kib: 19 * 1024, passes: 2, parallelism: 1 }
