import type { FieldProblem } from '../core/errors.ts'
import { argon2idProblem } from '../issuer/passwords/password-hash.ts'
import { keyPolicyProblems } from '../keys/lifecycle.ts'
import { audienceProblems, decryptionProblems } from './audiences.ts'
import { dataProblems } from './data-settings.ts'
import { revocationProblems } from './revocation-settings.ts'
import { environmentName, type Role } from './setting.ts'
import type { SettingName, Settings } from './settings.ts'
import { storeProblems } from './store-checks.ts'

/** Hosts that only this machine can reach, where plain http gives nothing away. */
const loopbackHosts = new Set(['localhost', '127.0.0.1', '[::1]'])

/** What must hold between settings, and what production mode does not allow. */
export function crossCheck(values: Partial<Settings>, role: Role): FieldProblem[] {
  const config = values as Settings
  return role === 'issuer'
    ? [
        ...publicAddress(config),
        ...cookie(config),
        ...playground(config),
        ...lifetimes(config),
        ...keyLifeCycle(config),
        ...hashing(config),
        ...webhook(config),
        ...audienceProblems(config),
        ...storeProblems(config, role),
      ]
    : [
        ...publicAddress(config),
        ...decryptionProblems(config),
        ...revocationProblems(config),
        ...dataProblems(config, role),
        ...storeProblems(config, role),
      ]
}

function publicAddress(config: Settings): FieldProblem[] {
  const { protocol, hostname } = new URL(config.issuer)
  if (config.mode !== 'production' || protocol === 'https:' || loopbackHosts.has(hostname))
    return []
  return [problem('issuer', 'must be https in production: tokens and passwords pass through it')]
}

function cookie(config: Settings): FieldProblem[] {
  if (config.mode !== 'production' || config.cookie_secure) return []
  return [
    problem('cookie_secure', 'must be true in production: the refresh cookie would be readable'),
  ]
}

function playground(config: Settings): FieldProblem[] {
  if (config.mode !== 'production' || !config.playground) return []
  return [
    problem(
      'playground',
      'must be false in production, as it stops and starts processes. `gatepass dev` (npm start) turns it on: ' +
        'in production run `gatepass issuer` and `gatepass verifier`',
    ),
  ]
}

function lifetimes(config: Settings): FieldProblem[] {
  const problems: FieldProblem[] = []
  if (config.session_idle_s > config.session_max_s) {
    problems.push(problem('session_idle_s', 'must not be longer than GATEPASS_SESSION_MAX_S'))
  }
  if (config.grace_s >= config.session_idle_s) {
    problems.push(problem('grace_s', 'must be shorter than GATEPASS_SESSION_IDLE_S'))
  }
  return problems
}

function keyLifeCycle(config: Settings): FieldProblem[] {
  return keyPolicyProblems({
    rotationMs: config.key_rotation_s * 1000,
    jwksMaxAgeMs: config.jwks_max_age_s * 1000,
    clockSkewMs: config.clock_skew_s * 1000,
    accessTtlMs: config.access_ttl_s * 1000,
  }).map((detail) => problem('key_rotation_s', detail))
}

function hashing(config: Settings): FieldProblem[] {
  const detail = argon2idProblem({
    memory_kib: config.argon2_memory_kib,
    passes: config.argon2_passes,
    parallelism: config.argon2_parallelism,
  })
  return detail === null ? [] : [problem('argon2_memory_kib', `does not fit: ${detail}`)]
}

function webhook({ mode, accounts_url, webhook_secret }: Settings): FieldProblem[] {
  if (!accounts_url.startsWith('webhook+')) return []
  const problems: FieldProblem[] = []
  const url = URL.parse(accounts_url.slice('webhook+'.length))
  if (url === null || url.username !== '' || url.password !== '' || /[?#\s]/.test(accounts_url)) {
    problems.push(
      problem('accounts_url', 'must be an address without user name, password, query or fragment'),
    )
  } else if (
    mode === 'production' &&
    url.protocol !== 'https:' &&
    !loopbackHosts.has(url.hostname)
  ) {
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

function problem(name: SettingName, detail: string): FieldProblem {
  return { pointer: environmentName(name), detail }
}
