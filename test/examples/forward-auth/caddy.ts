import type { ProxyExample } from './start.ts'

export const caddy: ProxyExample = {
  folder: 'forward-auth/caddy',
  files: ['Caddyfile'],
  command: (folder) => [
    ...['caddy', 'run', '--config', `${folder}/Caddyfile`, '--adapter', 'caddyfile'],
  ],
}
