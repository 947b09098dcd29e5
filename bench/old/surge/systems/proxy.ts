import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Bench } from '../../harness/scenario.ts'
import { startDaemon } from '../../stores/daemon.ts'

const servedMsMax = 10_000

/** nginx, the proxy in front of a system. */
export interface Proxy {
  readonly url: string
  /** Takes in what `config` says now: the old workers end what they have begun. */
  reload(): void
}

/**
 * @param port where it listens
 * @param config the content of `http { … }`, as it is to be now
 */
export async function startProxy(bench: Bench, port: number, config: () => string): Promise<Proxy> {
  const folder = join(bench.scratch, 'nginx')
  mkdirSync(folder)
  const file = join(folder, 'nginx.conf')
  const write = () => writeFileSync(file, wrap(folder, config()))
  write()
  const url = `http://127.0.0.1:${port}`
  const pid = await startDaemon(
    {
      command: ['nginx', '-p', folder, '-e', 'stderr', '-c', file],
      cwd: folder,
      stopSignal: 'SIGTERM',
      core: 'server',
      isReady: async () => (await fetch(url)).arrayBuffer(),
    },
    bench,
  )
  const reload = () => {
    write()
    process.kill(pid, 'SIGHUP')
  }
  return { url, reload }
}

/** A reload takes a moment. @throws when the path is not answered well in time */
export async function untilServed(url: string): Promise<void> {
  const deadlineMs = performance.now() + servedMsMax
  while (performance.now() < deadlineMs) {
    const response = await fetch(url).catch(() => null)
    await response?.arrayBuffer()
    if (response?.ok) return
    await sleep(50)
  }
  throw new Error(`${url} is not served`)
}

/** One worker, as it has one core. Streams do not keep old workers for ever. */
function wrap(folder: string, http: string): string {
  return `
daemon off;
worker_processes 1;
worker_rlimit_nofile 8192;
worker_shutdown_timeout 5s;
pid ${folder}/nginx.pid;
error_log stderr crit;
events { worker_connections 4096; }
http {
  access_log off;
  server_tokens off;
  client_body_temp_path ${folder}/client-body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  scgi_temp_path ${folder}/scgi;
  uwsgi_temp_path ${folder}/uwsgi;
  keepalive_timeout 75s;
  keepalive_requests 100000;
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_set_header Host $http_host;
  proxy_connect_timeout 1s;
  # The load is the CDN in front: each user has an address of its own.
  set_real_ip_from 127.0.0.1;
  real_ip_header X-Forwarded-For;
  proxy_set_header X-Forwarded-For $remote_addr;
  proxy_set_header X-Forwarded-Proto $scheme;
${http}
}
`
}

/** Servers of an upstream: one that can't be reached is left alone for a second. */
export function upstream(name: string, addresses: readonly string[], balance = ''): string {
  const servers = addresses.map((one) => `server ${one} max_fails=1 fail_timeout=1s;`)
  return `upstream ${name} {
  ${balance}
  ${servers.join('\n  ')}
  keepalive 64;
}`
}
