/** Installs the Debian packages that tests need and that are missing. Silent when none is. */
import { spawnSync } from 'node:child_process'
import { constants, existsSync, globSync } from 'node:fs'
import { access } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { packageOf, packageOfFile } from './test-packages.ts'

/** Servers are in sbin, which is not on everybody's PATH, and those of Postgres nowhere on it. */
const folders = [
  ...(process.env.PATH ?? '').split(delimiter),
  ...['/usr/local/sbin', '/usr/sbin'],
  ...globSync('/usr/lib/postgresql/*/bin'),
]

/** What says "no" to every start of a service during an install (invoke-rc.d(8)). */
const policyFile = '/usr/sbin/policy-rc.d'

async function has(program: string): Promise<boolean> {
  const found = folders.map((folder) => access(join(folder, program), constants.X_OK))
  return Promise.any(found).then(
    () => true,
    () => false,
  )
}

/** Runs a shell script as root; its arguments are `$1` and on. Tells whether it worked. */
function asRoot(script: string, ...args: string[]): boolean {
  const sudo = process.getuid?.() === 0 ? [] : ['sudo', '-n']
  const [command = 'sh', ...rest] = [...sudo, 'sh', '-c', script, 'sh', ...args]
  return spawnSync(command, rest, { stdio: 'inherit' }).status === 0
}

/** Installs without starting anything: a test starts its own servers, on its own ports. */
const install = `
set -e
policy=$1
shift
if ! [ -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\\nexit 101\\n' > "$policy"
  chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq -y --no-install-recommends "$@"
`

const missing: string[] = []
for (const [program, name] of Object.entries(packageOf)) {
  if (!(await has(program))) missing.push(name)
}

for (const [file, name] of Object.entries(packageOfFile)) {
  if (!existsSync(file)) missing.push(name)
}

if (missing.length > 0) {
  const names = missing.join(' ')
  console.log(`Installing the Debian packages that tests need: ${names}`)
  const mayInstall = process.getuid?.() === 0 || (await has('sudo'))
  if (!(await has('apt-get')) || !mayInstall || !asRoot(install, policyFile, ...missing)) {
    console.error(`Please install these Debian packages, which tests need: ${names}`)
    process.exitCode = 1
  }
}
