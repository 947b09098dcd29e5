/** What went wrong, for whoever looks at a status. Never for a client. */
export function errorText(error: Error): string {
  // What fetch() throws says "fetch failed", and the reason in its cause.
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message
}
