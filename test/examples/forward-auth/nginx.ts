import { nginxCommand } from '../../support/nginx.ts'
import type { ProxyExample } from './start.ts'

export const nginx: ProxyExample = {
  folder: 'forward-auth/nginx',
  files: ['nginx.conf'],
  command: nginxCommand,
  changes: (folder) => ({ '/tmp/': `${folder}/`, '/dev/std': `${folder}/std` }),
}
