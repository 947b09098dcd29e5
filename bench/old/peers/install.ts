import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const folder = fileURLToPath(new URL('../../peers/', import.meta.url))
const lock = `${folder}package-lock.json`
/** The lock file that was installed from; a new one means another installation. */
const installed = `${folder}node_modules/.installed-from.json`

/**
 * Installs what is measured, in the versions of the lock file. Not with the development of Gatepass:
 * nothing but these scenarios needs it, and most of its 25 MB is a whole other auth framework.
 */
export function installPeers(): void {
  const wanted = readFileSync(lock, 'utf8')
  if (existsSync(installed) && readFileSync(installed, 'utf8') === wanted) return
  const args = ['ci', '--no-audit', '--no-fund', '--ignore-scripts']
  // What it says is no result.
  execFileSync('npm', args, { cwd: folder, stdio: ['ignore', 2, 2] })
  writeFileSync(installed, wanted)
}
