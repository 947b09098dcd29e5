import { type FieldProblem, isGatepassError } from '../core/errors.ts'
import { argon2idProblem } from '../issuer/passwords/password-hash.ts'
import { keyPolicyProblems } from '../keys/lifecycle.ts'
import { parseMemcachedUrl } from '../stores/memcached/url.ts'
import { isMemcached, isRedis } from '../stores/open-data-store.ts'
import { isPostgres, webhookAddress } from '../stores/open-stores.ts'
import { parsePostgresUrl } from '../stores/postgres/url.ts'
import { parseRedisUrl } from '../stores/redis/url.ts'
import { isLocal } from '../stores/server-url.ts'
import {
  dataUrl,
  environmentName,
  keyPolicy,
  type Role,
  type SettingName,
  type Settings,
} from './settings.ts'
import { hasCredentials, isRemoteHttp } from './validators.ts'

/**
 * Checks the rules between settings, and what production mode forbids. A rule that reads a setting
 * without a valid value does not apply.
 */
export function crossCheck(values: Partial<Settings>, role: Role): FieldProblem[] {
  const config = new Proxy(values as Settings, { get: validValue })
  const checks = role === 'issuer' ? issuerChecks : verifierChecks
  return checks.flatMap((check) => {
    try {
      return check(config)
    } catch (error) {
      if (error instanceof NoValidValue) return []
      throw error
    }
  })
}

class NoValidValue extends Error {}

function validValue(values: Settings, name: string): unknown {
  if (!Object.hasOwn(values, name)) throw new NoValidValue()
  return values[name as SettingName]
}

type Check = (config: Settings) => FieldProblem[]

const issuerChecks: readonly Check[] = [
  checkPorts,
  checkIssuerUrl,
  checkIssuerPath,
  checkPlayground,
  checkLifetimes,
  checkKeyPolicy,
  checkHashing,
  checkWebhook,
  checkAudiences,
  checkSessionReplicas,
  checkDataReplicas,
  (config) => checkStore('accounts_url', config.accounts_url, config),
  (config) => checkStore('sessions_url', config.sessions_url, config),
  (config) => checkStore('keys_url', config.keys_url, config),
  checkDataStore,
]

const verifierChecks: readonly Check[] = [
  checkPorts,
  checkIssuerUrl,
  checkDecryption,
  checkRevocations,
  checkSessionData,
  checkDataReplicas,
  checkDataStore,
]

function checkPorts({ port, admin_port }: Settings): FieldProblem[] {
  if (port === 0 || port !== admin_port) return []
  return [problem('admin_port', 'must not be GATEPASS_PORT')]
}

function checkIssuerUrl({ mode, issuer }: Settings): FieldProblem[] {
  if (mode !== 'production' || !isRemoteHttp(new URL(issuer))) return []
  return [problem('issuer', 'must be https in production: tokens and passwords pass through it')]
}

/** The metadata of the issuer has this path, and the router gives these characters a meaning. */
function checkIssuerPath({ issuer }: Settings): FieldProblem[] {
  const { pathname } = new URL(issuer)
  try {
    if (!/[*%]/.test(decodeURI(pathname))) return []
  } catch {
    // The bytes are not UTF-8.
  }
  return [problem('issuer', 'must not have *, or an encoded delimiter such as %2F, in its path')]
}

function checkPlayground({ mode, playground }: Settings): FieldProblem[] {
  if (mode !== 'production' || !playground) return []
  return [
    problem(
      'playground',
      'must be false in production, because the playground stops and starts processes. `gatepass dev` (npm start) turns it on: ' +
        'in production run `gatepass issuer` and `gatepass verifier`',
    ),
  ]
}

function checkLifetimes(config: Settings): FieldProblem[] {
  const problems: FieldProblem[] = []
  if (config.session_idle_s > config.session_max_s) {
    problems.push(problem('session_idle_s', 'must not be longer than GATEPASS_SESSION_MAX_S'))
  }
  if (config.grace_s >= config.session_idle_s) {
    problems.push(problem('grace_s', 'must be shorter than GATEPASS_SESSION_IDLE_S'))
  }
  return problems
}

function checkKeyPolicy(config: Settings): FieldProblem[] {
  return keyPolicyProblems(keyPolicy(config)).map((detail) => problem('key_rotation_s', detail))
}

function checkHashing(config: Settings): FieldProblem[] {
  const detail = argon2idProblem({
    memoryKib: config.argon2_memory_kib,
    passes: config.argon2_passes,
    parallelism: config.argon2_parallelism,
  })
  return detail === null ? [] : [problem('argon2_memory_kib', `does not fit: ${detail}`)]
}

function checkWebhook({ mode, accounts_url, webhook_secret }: Settings): FieldProblem[] {
  const address = webhookAddress(accounts_url)
  if (address === null) return []
  const problems: FieldProblem[] = []
  const url = URL.parse(address)
  if (url === null || hasCredentials(url) || /[?#\s]/.test(address)) {
    problems.push(
      problem('accounts_url', 'must be an address without user name, password, query or fragment'),
    )
  } else if (mode === 'production' && isRemoteHttp(url)) {
    problems.push(
      problem(
        'accounts_url',
        'must be webhook+https in production: password hashes pass through it',
      ),
    )
  }
  if (webhook_secret.length === 0) {
    problems.push(problem('webhook_secret', 'is required when accounts are behind a webhook'))
  }
  return problems
}

/** Checks the audiences with keys against the clients and the algorithm. */
function checkAudiences({ audience, audiences, clients, algorithm }: Settings): FieldProblem[] {
  if (audiences.length === 0) return []
  const problems: FieldProblem[] = []
  const encrypted = new Set(audiences.map((one) => one.audience))
  const used = new Set<string>()
  for (const [index, client] of clients.entries()) {
    const names = [client.audience ?? audience].flat()
    for (const name of [...names, ...(client.exchange_audiences ?? [])]) used.add(name)
    if (names.length > 1 && names.some((name) => encrypted.has(name))) {
      const detail =
        'has several values, and one of them has a key: an encrypted token has one reader'
      problems.push({ pointer: `GATEPASS_CLIENTS/${index}/audience`, detail })
    }
  }
  for (const [index, one] of audiences.entries()) {
    if (used.has(one.audience)) continue
    const detail = 'is the audience of no client: its tokens would not be encrypted'
    problems.push({ pointer: `GATEPASS_AUDIENCES/${index}/audience`, detail })
  }
  if (algorithm === 'ML-DSA-44') {
    problems.push(
      problem(
        'algorithm',
        'must not be ML-DSA-44 if GATEPASS_AUDIENCES has keys: its signature alone is too long',
      ),
    )
  }
  return problems
}

function checkDecryption({ encrypted_tokens, decryption_keys }: Settings): FieldProblem[] {
  if (encrypted_tokens === undefined || decryption_keys.length > 0) return []
  return [problem('encrypted_tokens', 'needs GATEPASS_DECRYPTION_KEYS')]
}

function checkRevocations(config: Settings): FieldProblem[] {
  const { revocations, revocations_poll_s, revocations_max_staleness_s: max_s } = config
  if (max_s === undefined) return []
  if (revocations === 'off') {
    return [
      problem('revocations_max_staleness_s', 'can only be set if GATEPASS_REVOCATIONS is not off'),
    ]
  }
  if (max_s > revocations_poll_s) return []
  return [problem('revocations_max_staleness_s', 'must be longer than GATEPASS_REVOCATIONS_POLL_S')]
}

/** Only a verifier needs the secret, because an issuer only deletes session data. */
function checkSessionData(config: Settings): FieldProblem[] {
  if (dataUrl(config) === null || config.data_secret.length > 0) return []
  return [problem('data_secret', 'is required with GATEPASS_DATA_URL')]
}

function checkSessionReplicas({ sessions_url, sessions_replicas }: Settings): FieldProblem[] {
  if (sessions_replicas === 0 || isRedis(sessions_url)) return []
  return [problem('sessions_replicas', 'needs a Redis in GATEPASS_SESSIONS_URL')]
}

function checkDataReplicas(config: Settings): FieldProblem[] {
  const url = dataUrl(config)
  if (config.data_replicas === 0 || url === null || isRedis(url)) return []
  return [problem('data_replicas', 'needs a Redis in GATEPASS_DATA_URL')]
}

function checkDataStore(config: Settings): FieldProblem[] {
  return checkStore('data_url', dataUrl(config) ?? '', config)
}

/** Checks the URL of a store. A problem never quotes it, because it may contain a password. */
function checkStore(name: SettingName, url: string, config: Settings): FieldProblem[] {
  if (url === 'sqlite::memory:' && config.workers > 1) {
    const detail = 'must be a file if GATEPASS_WORKERS is above 1: each process would have its own'
    return [problem(name, detail)]
  }
  try {
    const isAllowed = config.mode !== 'production' || config.plaintext_stores
    if (!isRemotePlaintext(url) || isAllowed) return []
  } catch (error) {
    if (!isGatepassError(error)) throw error
    return [problem(name, `cannot be used: ${error.message}`)]
  }
  const detail = 'needs TLS in production, or GATEPASS_PLAINTEXT_STORES=true on a private network'
  return [problem(name, detail)]
}

/** Tells whether others in the network could read the traffic to a store. */
function isRemotePlaintext(url: string): boolean {
  if (isPostgres(url)) {
    const target = parsePostgresUrl(url)
    return target.tlsMode === 'disable' && !isLocal(target)
  }
  if (isRedis(url)) {
    const { tls, nodes } = parseRedisUrl(url)
    return tls === null && !nodes.every(isLocal)
  }
  if (isMemcached(url)) {
    const { tls, nodes } = parseMemcachedUrl(url)
    return tls === null && !nodes.every(isLocal)
  }
  return false
}

function problem(name: SettingName, detail: string): FieldProblem {
  return { pointer: environmentName(name), detail }
}
