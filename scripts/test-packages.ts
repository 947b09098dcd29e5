/** Programs that tests start, each with the package that holds it. */
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
  '/usr/share/lua/5.4/socket/http.lua': 'lua-socket',
}
