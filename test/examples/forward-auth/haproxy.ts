import type { ProxyExample } from './start.ts'

export const haproxy: ProxyExample = {
  folder: 'forward-auth/haproxy',
  files: ['haproxy.cfg', 'gatepass.lua'],
  command: (folder) => ['haproxy', '-db', '-f', `${folder}/haproxy.cfg`],
  changes: (folder) => ({
    '/run/haproxy/': `${folder}/`,
    '/etc/haproxy/': `${folder}/`,
    // Only root can become another user.
    ...(process.getuid?.() !== 0 && {
      '  user haproxy\n  group haproxy\n': '',
      ' user haproxy': '',
    }),
  }),
}
