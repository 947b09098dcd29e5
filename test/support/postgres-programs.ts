import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** The owner of the server, and the account that Debian's package creates for it. */
export const superuser = 'postgres'

/** Returns the user of the package, because Postgres refuses to run as root; undefined without root. */
export function postgresUser(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined
  const idOf = (flag: string) =>
    Number(execFileSync('id', [flag, superuser], { encoding: 'utf8' }).trim())
  return { uid: idOf('-u'), gid: idOf('-g') }
}

/** Returns the folder of the newest Postgres. Debian does not put it on the PATH. */
export function postgresPrograms(): string {
  const debian = '/usr/lib/postgresql'
  const versions = existsSync(debian) ? readdirSync(debian) : []
  const folders = versions
    .toSorted((a, b) => Number(b) - Number(a))
    .map((version) => join(debian, version, 'bin'))
  const path = (process.env.PATH ?? '').split(delimiter)
  const found = [...folders, ...path].find((folder) => existsSync(join(folder, 'initdb')))
  if (found === undefined) throw new Error('Postgres is not installed: npm run test:deps')
  return found
}
