/** The opaque refresh token that the session number `n` starts with. */
export function initialToken(n: number): string {
  return `initial-${n}`.padEnd(43, '-')
}
