import type { ProxyExample } from './start.ts'
import { testForwardAuth } from './suite.ts'

const caddy: ProxyExample = {
  folder: 'forward-auth/caddy',
  files: ['Caddyfile'],
  command: (folder) => [
    ...['caddy', 'run', '--config', `${folder}/Caddyfile`, '--adapter', 'caddyfile'],
  ],
}

testForwardAuth('Caddy', caddy)
