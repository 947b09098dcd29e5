import { upstream } from '../proxy.ts'

export interface Addresses {
  readonly port: number
  /** Where verifiers and shops fetch keys and revocations: no way leads there from outside. */
  readonly innerPort: number
  readonly issuers: readonly string[]
  readonly verifiers: readonly string[]
  readonly shops: readonly string[]
}

/** Which spares the verifiers most signatures. Shops are asked in turn: no user is at home in one. */
const byToken = 'hash $http_authorization consistent;'

/**
 * As examples/forward-auth/nginx and examples/compose have it: sign-in goes to the issuers, `/orders`
 * asks a verifier first, and the rest goes to the shops, who check tokens themselves.
 */
export function gatepassProxy({ port, innerPort, issuers, verifiers, shops }: Addresses): string {
  return `
${upstream('issuers', issuers)}
${upstream('verifiers', verifiers, byToken)}
${upstream('shops', shops)}

map $auth_retry_after $retry_after { "" 1; default $auth_retry_after; }

server {
  listen 127.0.0.1:${port} backlog=4096;
  error_page 502 504 = @unavailable;

  # A sign-in or a refresh may be sent to the other issuer, as it may be made twice: the refresh gives
  # the same successor, and a session of which nobody hears ends by itself.
  location ~ ^/(login|refresh|logout|logout/all)$ {
    proxy_next_upstream error timeout non_idempotent;
    proxy_pass http://issuers;
  }

  location / {
    proxy_next_upstream error timeout;
    proxy_pass http://shops;
  }

  location = /orders {
    auth_request /_verify;
    auth_request_set $auth_retry_after $upstream_http_retry_after;
    error_page 500 = @unavailable;
    proxy_next_upstream error timeout;
    proxy_pass http://shops;
  }

  location = /_verify {
    internal;
    proxy_method GET;
    proxy_pass_request_body off;
    proxy_pass_request_headers off;
    proxy_set_header Connection "";
    proxy_set_header Content-Length "";
    proxy_set_header Authorization $http_authorization;
    proxy_read_timeout 2s;
    proxy_next_upstream error timeout http_503;
    proxy_pass http://verifiers/verify?scope=data:read;
  }

  location @unavailable {
    add_header Retry-After $retry_after always;
    return 503;
  }
}

server {
  listen 127.0.0.1:${innerPort};
  location / {
    proxy_buffering off;
    proxy_next_upstream error timeout http_503;
    proxy_pass http://issuers;
  }
}
`
}
