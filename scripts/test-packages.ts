import { accessSync, constants, existsSync, globSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** Programs that tests start, each with the Debian package that holds it. */
export const packageOf: Readonly<Record<string, string>> = {
  apache2: 'apache2',
  caddy: 'caddy',
  chromium: 'chromium',
  curl: 'curl',
  haproxy: 'haproxy',
  initdb: 'postgresql',
  memcached: 'memcached',
  nginx: 'nginx',
  openssl: 'openssl',
  promtool: 'promtool',
  'redis-cli': 'redis-tools',
  'redis-sentinel': 'redis-sentinel',
  'redis-server': 'redis-server',
}

/** Files that those programs load. */
export const packageOfFile: Readonly<Record<string, string>> = {
  '/usr/lib/apache2/modules/mod_auth_openidc.so': 'libapache2-mod-auth-openidc',
  '/usr/share/lua/5.4/socket/http.lua': 'lua-socket',
}

/** Debian installs servers in sbin, which may not be on the PATH, and Postgres outside the PATH. */
function programFolders(): string[] {
  return [
    ...(process.env.PATH ?? '').split(delimiter),
    '/usr/local/sbin',
    '/usr/sbin',
    ...globSync('/usr/lib/postgresql/*/bin'),
  ]
}

export function isInstalled(program: string): boolean {
  return programFolders().some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

/** The Debian packages that tests need and this machine lacks. */
export function missingPackages(): string[] {
  const programs = Object.entries(packageOf).filter(([program]) => !isInstalled(program))
  const files = Object.entries(packageOfFile).filter(([file]) => !existsSync(file))
  return [...programs, ...files].map(([, name]) => name)
}
