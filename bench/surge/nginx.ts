import type { Kind, SystemParts } from './system.ts'

/** The nginx in front of every system, with the same retries. */

export interface ReplicaAddress {
  readonly name: string
  readonly address: string
}

export interface ProxyOptions {
  readonly port: number
  /** The internal address of keys and revocations, for verifiers and shops. */
  readonly innerPort: number
  readonly balance: SystemParts['balance']
  addressesOf(kind: Kind): readonly ReplicaAddress[]
}

/** nginx excludes an unreachable server for a second. */
const limits = 'max_fails=1 fail_timeout=1s'
/** Sends a token always to the same replica, which has it in its cache. */
const byToken = 'hash $http_authorization consistent;'

/**
 * Sends sign-ins to the issuers, or to the shops in systems without issuers. In systems with verifiers,
 * `/orders` asks a verifier first. After a replica has died, nginx repeats a sign-in or refresh at another
 * replica, as clients would. One worker, because nginx has one core.
 */
export function proxyConfig({ port, innerPort, balance, addressesOf }: ProxyOptions): string {
  const isSticky = balance === 'sticky'
  const [issuers, verifiers] = [addressesOf('issuer'), addressesOf('verifier')]
  const shops = addressesOf('shop')
  const shopServers = isSticky ? 'http://$group' : 'http://shops'
  return `
daemon off; pid nginx.pid; error_log stderr crit;
worker_processes 1; worker_rlimit_nofile 8192; worker_shutdown_timeout 5s;
events { worker_connections 4096; }
http {
  access_log off;
  client_body_temp_path client-body; proxy_temp_path proxy;
  fastcgi_temp_path fastcgi; scgi_temp_path scgi; uwsgi_temp_path uwsgi;
  keepalive_timeout 75s; keepalive_requests 100000;
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_set_header Host $http_host;
  proxy_connect_timeout 1s;
  # The load plays a CDN in front, so each user has an address of its own.
  set_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For;
  proxy_set_header X-Forwarded-For $remote_addr;
  proxy_set_header X-Forwarded-Proto $scheme;
  proxy_next_upstream error timeout;

  ${upstream('issuers', issuers)}
  ${upstream('verifiers', verifiers, byToken)}
  ${upstream('shops', shops, balance === 'by token' ? byToken : '')}
  ${isSticky ? stickyGroups(shops) : ''}

  server {
    listen 127.0.0.1:${port} backlog=4096;
    error_page 502 504 = @unavailable;
    location ~ ^/(login|refresh|logout|logout/all)$ {
      proxy_next_upstream error timeout non_idempotent;
      proxy_pass ${issuers.length > 0 ? 'http://issuers' : shopServers};
    }
    location / { proxy_pass ${shopServers}; }
    ${verifiers.length > 0 ? guardedOrders : ''}
    location @unavailable { add_header Retry-After 1 always; return 503; }
  }
  server {
    listen 127.0.0.1:${innerPort};
    location / {
      proxy_buffering off; proxy_next_upstream error timeout http_503;
      proxy_pass http://issuers;
    }
  }
}
`
}

const guardedOrders = `
    location = /orders {
      auth_request /_verify; error_page 500 = @unavailable;
      proxy_pass http://shops;
    }
    location = /_verify {
      internal; proxy_method GET;
      proxy_pass_request_body off; proxy_pass_request_headers off;
      proxy_set_header Connection ""; proxy_set_header Content-Length "";
      proxy_set_header Authorization $http_authorization;
      proxy_read_timeout 2s; proxy_next_upstream error timeout http_503;
      proxy_pass http://verifiers/verify?scope=data:read;
    }`

function upstream(name: string, replicas: readonly ReplicaAddress[], balance = ''): string {
  const servers = replicas.map(({ address }) => `server ${address} ${limits};`)
  // nginx needs a server in each upstream. The discard port refuses connections.
  if (servers.length === 0) servers.push('server 127.0.0.1:9;')
  return `upstream ${name} { ${balance} ${servers.join(' ')} keepalive 64; }`
}

/** Sends each user to the replica in the cookie, or to another replica if that replica is gone. */
function stickyGroups(shops: readonly ReplicaAddress[]): string {
  const groups = shops.map(({ name, address }) => {
    const others = shops.filter((one) => one.name !== name)
    const backups = others.map((one) => `server ${one.address} backup;`).join(' ')
    return `upstream ${name} { server ${address} ${limits}; ${backups} keepalive 64; }`
  })
  const names = shops.map(({ name }) => `${name} ${name};`).join(' ')
  return `${groups.join('\n')}\nmap $cookie_replica $group { default shops; ${names} }`
}
