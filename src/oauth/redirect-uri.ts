/** `http` on this machine: the host, the port if there is one, and everything after it. */
const loopbackPattern = /^http:\/\/(127\.0\.0\.1|\[::1\]|localhost)(?::(\d{1,5}))?(|[/?][^#\s\\]*)$/

/**
 * Returns whether a client has registered a redirect URI. URIs are compared as texts (RFC 9700
 * §4.1.3), so no two spellings of one address are the same. On the loopback interface the port is
 * free (RFC 8252 §7.3), because an app takes whichever port it gets.
 */
export function isRegistered(uri: string, registered: readonly string[] = []): boolean {
  if (registered.includes(uri)) return true
  const requested = loopbackParts(uri)
  return (
    requested !== null &&
    registered.some((one) => {
      const parts = loopbackParts(one)
      return parts !== null && parts.host === requested.host && parts.rest === requested.rest
    })
  )
}

function loopbackParts(uri: string): { readonly host: string; readonly rest: string } | null {
  const [, host, port = '80', rest] = loopbackPattern.exec(uri) ?? []
  if (host === undefined || rest === undefined) return null
  const isPort = Number(port) >= 1 && Number(port) <= 65_535
  return isPort ? { host, rest } : null
}

/** Appends parameters to the query of a redirect URI, which has no fragment. */
export function withParameters(
  uri: string,
  parameters: Readonly<Record<string, string | undefined>>,
): string {
  const given = Object.entries(parameters).filter(
    (pair): pair is [string, string] => pair[1] !== undefined,
  )
  if (given.length === 0) return uri
  return `${uri}${uri.includes('?') ? '&' : '?'}${new URLSearchParams(given)}`
}
