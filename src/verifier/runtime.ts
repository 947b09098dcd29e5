/**
 * Whether timers and connections end with the request that made them, as on Cloudflare's workerd.
 * There nothing happens between requests, and no request can wait for another one.
 */
export function isRequestScoped(): boolean {
  return globalThis.navigator?.userAgent === 'Cloudflare-Workers'
}
