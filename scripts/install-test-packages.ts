/**
 * Installs the Debian packages that tests need and this machine lacks. Silent when none is missing.
 *
 * `npm test` calls it with `--if-expected`: it then installs only in CI (`CI=true`) or as root.
 */
import { spawnSync } from 'node:child_process'
import { isInstalled, missingPackages } from './test-packages.ts'

/** A script that answers "no" to every start of a service during an install (invoke-rc.d(8)). */
const policyFile = '/usr/sbin/policy-rc.d'

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

const isRoot = process.getuid?.() === 0
const isExpected = isRoot || process.env.CI === 'true'

/** Runs a shell script as root; its arguments are `$1` and on. Returns whether it succeeded. */
function runAsRoot(script: string, ...args: string[]): boolean {
  if (!isInstalled('apt-get') || !(isRoot || isInstalled('sudo'))) return false
  const sudo = isRoot ? [] : ['sudo', ...(process.stdin.isTTY ? [] : ['-n'])]
  const [command = 'sh', ...rest] = [...sudo, 'sh', '-c', script, 'sh', ...args]
  return spawnSync(command, rest, { stdio: 'inherit' }).status === 0
}

const missing = missingPackages()
if (missing.length > 0 && (isExpected || !process.argv.includes('--if-expected'))) {
  const names = missing.join(' ')
  console.log(`Installing the Debian packages that tests need: ${names}`)
  if (!runAsRoot(install, policyFile, ...missing)) {
    console.error(`Install these Debian packages, which tests need: ${names}`)
    process.exitCode = 1
  }
}
