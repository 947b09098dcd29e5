import { existsSync, readFileSync } from 'node:fs'

/** All that check a token in one process. */
export const verifierPackages = ['fast-jwt', 'jose', 'jsonwebtoken', 'aws-jwt-verify']

/** Where this folder finds a package, in the order that Node looks. */
const places = ['../../peers/node_modules/', '../../../node_modules/']

/** The versions that are installed, which are those of the lock files. */
export function versionsOf(names: readonly string[]): Record<string, string> {
  return Object.fromEntries(names.map((name) => [name, versionOf(name)]))
}

function versionOf(name: string): string {
  const file = places
    .map((place) => new URL(`${place}${name}/package.json`, import.meta.url))
    .find((url) => existsSync(url))
  if (file === undefined) throw new Error(`${name} is not installed`)
  const { version } = JSON.parse(readFileSync(file, 'utf8')) as { version: string }
  return version
}
