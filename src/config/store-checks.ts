import { type FieldProblem, GatepassError } from '../core/errors.ts'
import { parseMemcachedUrl } from '../stores/memcached/url.ts'
import { isPostgres } from '../stores/open.ts'
import { isLocal, parsePostgresUrl } from '../stores/postgres/url.ts'
import { parseRedisUrl } from '../stores/redis/url.ts'
import { dataUrl } from './data-settings.ts'
import { environmentName, type Role } from './setting.ts'
import type { Settings } from './settings.ts'

/** The addresses that a process of this role opens. */
function urlsOf(config: Settings, role: Role) {
  const data_url = dataUrl(config) ?? ''
  if (role === 'verifier') return { data_url }
  const { accounts_url, sessions_url, keys_url } = config
  return { accounts_url, sessions_url, keys_url, data_url }
}

/** What is wrong with the addresses of stores; never quotes one, as there may be a password in it. */
export function storeProblems(config: Settings, role: Role): FieldProblem[] {
  return Object.entries(urlsOf(config, role)).flatMap(([name, url]) => {
    const pointer = environmentName(name)
    try {
      const isOpen = isPlaintextAway(url)
      if (!isOpen || config.mode !== 'production' || config.plaintext_stores) return []
    } catch (error) {
      if (!(error instanceof GatepassError)) throw error
      return [{ pointer, detail: `can't be used: ${error.message}` }]
    }
    const detail = `needs TLS in production, or ${environmentName('plaintext_stores')}=true on a network that nobody else is on`
    return [{ pointer, detail }]
  })
}

/** Whether what goes to a store could be read on its way there. */
function isPlaintextAway(url: string): boolean {
  if (isPostgres(url)) {
    const target = parsePostgresUrl(url)
    return target.tlsMode === 'disable' && !isLocal(target)
  }
  if (url.startsWith('redis')) {
    const { tls, nodes } = parseRedisUrl(url)
    return tls === null && !nodes.every(isLocal)
  }
  if (url.startsWith('memcached')) {
    const { tls, nodes } = parseMemcachedUrl(url)
    return tls === null && !nodes.every(isLocal)
  }
  return false
}
