import type { ProxyExample } from './start.ts'

/** nginx in one process, so that none is left behind when the test kills it. */
export const nginx: ProxyExample = {
  folder: 'forward-auth/nginx',
  files: ['nginx.conf'],
  command: (folder) => [
    ...['nginx', '-p', folder, '-c', `${folder}/nginx.conf`, '-e', `${folder}/error`],
    ...['-g', 'daemon off; master_process off;'],
  ],
  changes: (folder) => ({ '/tmp/': `${folder}/`, '/dev/': `${folder}/` }),
}
