import { isIP } from 'node:net'

/**
 * Whether a `Host` header holds a name of somebody else's domain. Such a name can be pointed at this
 * machine (DNS rebinding), and then a page under it could read whatever a browser here may ask for.
 *
 * No domain can claim an IP address, `localhost` or a name without a dot. A request without `Host`
 * comes from no browser.
 *
 * @param ownNames further names that are ours, in lower case; `.example.com` is all names below it
 */
export function isForeignHost(host: string | undefined, ownNames: readonly string[] = []): boolean {
  const [, bracketed, plain = ''] = /^(?:\[(.*)\]|(.*?))\.?(?::\d*)?$/.exec(host ?? '') ?? []
  const name = (bracketed ?? plain).toLowerCase()
  if (isIP(name) !== 0 || !name.includes('.') || name.endsWith('.localhost')) return false
  return !ownNames.some((own) => (own.startsWith('.') ? name.endsWith(own) : name === own))
}
