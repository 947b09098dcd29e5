import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { connects, startDaemon } from './daemon.ts'
import { createTestFolder } from './test-folder.ts'

/** Runs the `nginx.conf` of a folder in one process, so that a kill leaves no process behind. */
export function nginxCommand(folder: string): string[] {
  return [
    ...['nginx', '-p', folder, '-c', join(folder, 'nginx.conf'), '-e', join(folder, 'error')],
    ...['-g', 'daemon off; master_process off;'],
  ]
}

/** Starts nginx. @param http the content of its `http` block, which listens on `port` */
export async function startNginx(t: Test, http: string, port: number): Promise<void> {
  const folder = createTestFolder(t)
  mkdirSync(join(folder, 'temporary'))
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (kind) => `${kind}_temp_path ${folder}/temporary/${kind};`,
  )
  const block = `http { access_log off; ${paths.join(' ')} ${http} }`
  writeFileSync(join(folder, 'nginx.conf'), `pid ${folder}/pid; events {} ${block}`)
  const command = nginxCommand(folder)
  await startDaemon(t, { command, cwd: folder, ready: () => connects(port) })
}
