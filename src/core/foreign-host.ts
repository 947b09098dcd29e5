import { isIP } from 'node:net'

/**
 * Tells whether a `Host` header names a foreign domain. DNS rebinding points such a name at this
 * machine, so that a page of the domain can read what a local browser can read.
 *
 * IP addresses, `localhost` and names without a dot belong to no domain. Browsers always send `Host`.
 *
 * @param ownNames further accepted names, in lower case; `.example.com` stands for all names below it
 */
export function isForeignHost(host: string | undefined, ownNames: readonly string[] = []): boolean {
  const [, bracketed, plain = ''] = /^(?:\[(.*)\]|(.*?))\.?(?::\d*)?$/.exec(host ?? '') ?? []
  const name = (bracketed ?? plain).toLowerCase()
  if (isIP(name) !== 0 || !name.includes('.') || name.endsWith('.localhost')) return false
  return !ownNames.some((own) => (own.startsWith('.') ? name.endsWith(own) : name === own))
}
