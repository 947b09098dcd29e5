import { upstream } from '../systems/proxy.ts'

/** The same nginx in front of every rival, and with the same repeats, as in front of Gatepass. */

export interface RivalAddresses {
  readonly port: number
  /** Where shops reach the issuers; no way leads there from outside. */
  readonly innerPort: number
  readonly issuers: readonly string[]
  readonly shops: readonly { readonly name: string; readonly address: string }[]
}

/** What was seen before is remembered there. */
export const byToken = 'hash $http_authorization consistent;'

const unavailable = `
  error_page 502 504 = @unavailable;
  location @unavailable {
    add_header Retry-After 1 always;
    return 503;
  }`

/**
 * Any replica serves anybody; sign-in goes to the issuers, or to the shops where these do that.
 * @param balance how the shops are chosen; in turns where it is left out
 */
export function sharedProxy(addresses: RivalAddresses, balance = ''): string {
  const { port, innerPort, issuers, shops } = addresses
  const signIn = issuers.length > 0 ? 'issuers' : 'shops'
  return `
${issuers.length > 0 ? upstream('issuers', issuers) : ''}
${upstream(
  'shops',
  shops.map(({ address }) => address),
  balance,
)}
server {
  listen 127.0.0.1:${port} backlog=4096;
  ${unavailable}
  # Sent again to another one when the first has died. A refresh token that was used up by then is lost
  # either way; one that was not is saved by it.
  location ~ ^/(login|refresh|logout|logout/all)$ {
    proxy_next_upstream error timeout non_idempotent;
    proxy_pass http://${signIn};
  }
  location / {
    proxy_next_upstream error timeout;
    proxy_pass http://shops;
  }
}
${issuers.length > 0 ? innerServer(innerPort) : ''}`
}

/** Introspection changes nothing, so it may be asked of another issuer. */
function innerServer(port: number): string {
  return `server {
  listen 127.0.0.1:${port};
  location / {
    proxy_next_upstream error timeout http_503 non_idempotent;
    proxy_pass http://issuers;
  }
}`
}

/**
 * Each user goes to the replica that has the session, by the cookie that it set; to another one when it
 * is gone. Where nginx has no `sticky` it is a map from names to groups.
 */
export function stickyProxy({ port, shops }: RivalAddresses): string {
  const groups = shops.map(({ name, address }) => {
    const others = shops.filter((one) => one.name !== name)
    const backups = others.map((one) => `server ${one.address} backup;`)
    return `upstream ${name} {
  server ${address} max_fails=1 fail_timeout=1s;
  ${backups.join('\n  ')}
  keepalive 64;
}`
  })
  return `
${upstream(
  'shops',
  shops.map(({ address }) => address),
)}
${groups.join('\n')}
map $cookie_replica $group {
  default shops;
  ${shops.map(({ name }) => `${name} ${name};`).join('\n  ')}
}
server {
  listen 127.0.0.1:${port} backlog=4096;
  ${unavailable}
  location = /login {
    proxy_next_upstream error timeout non_idempotent;
    proxy_pass http://shops;
  }
  location = /logout {
    proxy_next_upstream error timeout non_idempotent;
    proxy_pass http://$group;
  }
  location / {
    proxy_next_upstream error timeout;
    proxy_pass http://$group;
  }
}`
}
