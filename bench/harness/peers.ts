import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const folder = fileURLToPath(new URL('../peers/', import.meta.url))
/** The lock file that was installed from; a new one means another installation. */
const installed = `${folder}node_modules/.installed-from.json`

/**
 * Installs the rivals that nothing else needs, in the versions of their lock file. They are not among the
 * packages of the repository, as most of their 25 MB is a whole other auth framework.
 */
export function installPeers(): void {
  const wanted = readFileSync(`${folder}package-lock.json`, 'utf8')
  if (existsSync(installed) && readFileSync(installed, 'utf8') === wanted) return
  const args = ['ci', '--no-audit', '--no-fund', '--ignore-scripts']
  execFileSync('npm', args, { cwd: folder, stdio: ['ignore', 2, 2] })
  writeFileSync(installed, wanted)
}
