/** What went wrong, for whoever looks at a status. Never for a client. */
export function errorText(error: Error): string {
  // What fetch() throws says "fetch failed", and the reason in its cause.
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message
}

/** Digits alone, and as many as a number holds exactly. */
export function wholeSeconds(text: string | null | undefined): number | null {
  return text && /^[0-9]{1,10}$/.test(text) ? Number(text) : null
}
