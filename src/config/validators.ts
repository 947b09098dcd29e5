import { isIP } from 'node:net'
import * as z from 'zod'
import { isLocal } from '../stores/server-url.ts'
import { isJsonObject } from '../tokens/strict-decoding.ts'

/** Validators that several settings share. */

export const seconds = (min: number, max: number) => z.int().min(min).max(max)
export const port = z.int().min(0).max(65_535)

/** Whether others in the network can read what is sent to an http(s) address. */
export function isRemoteHttp({ protocol, hostname }: URL): boolean {
  return protocol !== 'https:' && !isLocal({ host: hostname.replace(/^\[|\]$/g, '') })
}

/**
 * An address to listen on. For `localhost`, Fastify would open a second server at `::1`, and a shutdown
 * would not wait for the requests there.
 */
export const listenHost = z
  .string()
  .min(1)
  .overwrite((host) => (host === 'localhost' ? '127.0.0.1' : host))

/** Whether a URL contains a user name or a password, which logs would show. */
export function hasCredentials({ username, password }: URL): boolean {
  return username !== '' || password !== ''
}

/**
 * The URL parser also reads `https:/host` and `https:host` as addresses of `host`. A browser that is
 * redirected there by an https page stays on the host of the page.
 */
const webUrl = /^https?:\/\/[^/]/i

/** A redirection endpoint (RFC 6749 §3.1.2): https, http on this machine, or an app (RFC 8252 §7.1). */
export const redirectUri = z
  .string()
  .max(2048)
  .refine((text) => {
    const url = URL.parse(text)
    if (url === null || hasCredentials(url) || /[^\x21-\x7e]|[#\\]/.test(text)) return false
    if (/^https?:$/.test(url.protocol)) return webUrl.test(text) && !isRemoteHttp(url)
    return /^[a-z][a-z\d+-]*(\.[a-z\d+-]+)+:\//.test(text)
  }, 'must be an https URL, http on this machine, or of an app such as com.example.app:/cb; in ASCII, without a fragment')

/** `http(s)://host[:port][/path]` without query and fragment (RFC 8414 §2). */
export const baseUrl = z.string().refine((text) => {
  const url = URL.parse(text)
  return url !== null && webUrl.test(text) && !/[?#\s]|\/$/.test(text) && !hasCredentials(url)
}, 'must be an http(s) URL without user name, password, trailing slash, query or fragment')

/** The `aud` of tokens. */
export const audienceName = z.string().min(1).max(256)

export const origin = z
  .string()
  .refine(
    (text) => URL.parse(text)?.origin === text,
    'must be an origin such as https://app.example',
  )

export const storeUrl = (...schemes: string[]) =>
  z
    .string()
    .refine(
      (text) => schemes.some((scheme) => text.startsWith(scheme) && text.length > scheme.length),
      `must start with ${schemes.join(' or ')}`,
    )

export const secret = z.string().min(32, 'must have at least 32 characters').max(1024)

/** Standard Webhooks 1.0.0: 24 to 64 random bytes. */
export const webhookSecret = z.string().refine((text) => {
  const bytes = Buffer.from(text.replace(/^whsec_/, ''), 'base64')
  return text === `whsec_${bytes.toString('base64')}` && bytes.length >= 24 && bytes.length <= 64
}, 'must be whsec_ and 24 to 64 bytes in base64')

/** A host name. With a leading dot: all names below it. */
export const hostPattern = z
  .string()
  .toLowerCase()
  .regex(
    /^\.?[\w-]+(\.[\w-]+)*$/,
    'must be a host name such as metrics.example.com, or .example.com for all names below it',
  )

/** An IP address or a CIDR range. A range of all addresses is refused. */
export const addressRange = z.string().refine((text) => {
  const [address = '', prefix, ...rest] = text.split('/')
  const bits = { 0: 0, 4: 32, 6: 128 }[isIP(address)] ?? 0
  if (prefix === undefined) return bits > 0
  return (
    /^\d{1,3}$/.test(prefix) && Number(prefix) >= 1 && Number(prefix) <= bits && rest.length === 0
  )
}, 'must be an IP address or a range such as 10.0.0.0/8')

type Imported = { readonly ok: true } | { readonly ok: false; readonly reason: string }

/** A JWK (RFC 7517) that can be imported. */
export const jwk = (importKey: (value: unknown) => Imported) =>
  z.record(z.string(), z.unknown()).superRefine((value, context) => {
    const imported = importKey(value)
    if (!imported.ok) {
      context.addIssue({ code: 'custom', message: `is not a key: ${imported.reason}` })
    }
  })

/**
 * A list in which no two items have the same member `name`. The check includes lists with invalid items, so that
 * an error lists every problem.
 */
export function uniqueList<Item extends z.ZodType<object>>(list: z.ZodArray<Item>, name: string) {
  return list.superRefine(
    (items, context) => {
      const seen = new Set<unknown>()
      for (const [index, item] of items.entries()) {
        const value = isJsonObject(item) ? item[name] : undefined
        if (value !== undefined && seen.has(value)) {
          context.addIssue({ code: 'custom', path: [index, name], message: 'is used twice' })
        }
        seen.add(value)
      }
    },
    { when: ({ value }) => Array.isArray(value) },
  )
}
