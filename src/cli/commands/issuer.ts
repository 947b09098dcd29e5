import type { Logger } from 'pino'
import { crossCheck } from '../../config/checks.ts'
import type { LoadedConfig } from '../../config/load.ts'
import { environmentName, type Settings } from '../../config/settings.ts'
import { type Clock, systemClock } from '../../core/clock.ts'
import { GatepassError, isGatepassError } from '../../core/errors.ts'
import { observedStore } from '../../data/data-service.ts'
import type { ReadinessCheck } from '../../http/admin-app.ts'
import { buildIssuerApp, createOwnKeys, type FrontEndOptions } from '../../http/issuer-app.ts'
import { createDataObserver, Metrics, observeClock, observeLog } from '../../http/metrics.ts'
import { auditEvents, createAudit } from '../../issuer/audit.ts'
import type { Clients } from '../../issuer/clients.ts'
import type { ClockMonitor } from '../../issuer/clock-monitor.ts'
import { DpopNonces } from '../../issuer/dpop-nonces.ts'
import { createIssuer } from '../../issuer/issuer.ts'
import { RevocationFeed } from '../../issuer/revocation-feed.ts'
import { SessionDataCleanup } from '../../issuer/session-data-cleanup.ts'
import type { KeyEvent, KeyManager, KeyManagerOptions } from '../../keys/key-manager.ts'
import { createAuthorizationServer } from '../../oauth/authorization-server.ts'
import { startCleanup } from '../../stores/cleanup.ts'
import { openCounterStore } from '../../stores/open-stores.ts'
import type { AccountStore, SessionStore } from '../../stores/ports.ts'
import { DpopProofs } from '../../verifier/dpop/dpop-proofs.ts'
import { createVerifier } from '../../verifier/verifier.ts'
import { type CliContext, configOf, openedBy, unusableSetting } from '../context.ts'
import { openDataForService } from '../data-wiring.ts'
import {
  dataBlockedMs,
  hasPlayground,
  issuerPolicy,
  issuerSecrets,
  openAccountDeps,
  openClockMonitor,
  openKeys,
  revocationsKeptMs,
} from '../issuer-wiring.ts'
import { createLogger, LogOutput } from '../logger.ts'
import { serve, serviceOptions, verifierOptions } from '../serve.ts'
import { isPrimaryOfMany, runWorkerProcesses } from '../worker-processes.ts'

/** `gatepass issuer`: signs users in and publishes the keys. */
export async function runIssuer(context: CliContext): Promise<void> {
  const loaded = configOf(context, 'issuer')
  const { settings } = loaded
  const { cwd } = context
  const output = new LogOutput({ isShared: settings.workers > 1 })
  const logger = createLogger(settings, 'issuer', output)
  if (isPrimaryOfMany(settings)) return runWorkerProcesses(logger, settings, { reloads: true })
  const metrics = new Metrics(auditEvents)
  observeLog(metrics.registry, () => output.dropped)
  const audit = createAudit(logger, metrics)
  const deps = await openAccountDeps(settings, cwd)
  const { accounts, sessions, hasher } = deps
  const counters = await openedBy('sessions_url', openCounterStore(settings.sessions_url, cwd))
  const playground = hasPlayground(settings)
    ? (await import('../playground-wiring.ts')).createPlayground(settings)
    : null
  const clockMonitor = await openClockMonitor(settings, sessions)
  observeClock(metrics.registry, () => clockMonitor.offsetMs)
  const { expiryClock } = clockMonitor
  const onChange = ({ name, kid }: KeyEvent) => {
    audit(name, { kid })
    playground?.events.add(name, { kid })
  }
  const keys = await openSigningKeys(settings, cwd, { expiryClock, onChange })
  const revocations = await openRevocations(settings, { sessions, keys, expiryClock })
  const cleanups = await startCleanups(settings, cwd, { logger, metrics, sessions, expiryClock })
  const ownKeys = createOwnKeys(keys)
  const nonces = createNonces(settings)
  const verifier = createVerifier({
    ...verifierOptions(settings, 'optional'),
    // A token for any service may end its own session.
    audience: null,
    keys: ownKeys,
    dpopNonces: nonces,
  })

  const issuer = createIssuer({
    policy: issuerPolicy(settings),
    stores: { accounts, sessions, counters },
    secrets: issuerSecrets(settings),
    signingKey: () => keys.signingKey(),
    hasher,
    revocations,
    clock: systemClock,
    checkClock: () => clockMonitor.checkSignOut(),
  })

  const oauth = createAuthorizationServer({
    issuer,
    store: sessions,
    verifier,
    keys: ownKeys,
    ...oauthOptions(settings, logger, expiryClock),
  })

  const app = buildIssuerApp({
    service: serviceOptions(settings, logger, metrics),
    issuer,
    oauth,
    keys,
    verifier,
    proofs: new DpopProofs({
      nonces,
      clockToleranceSeconds: settings.clock_skew_s,
      clock: systemClock,
    }),
    nonces,
    frontEnd: frontEndOptions(settings),
    hooks: playground?.hooks({ sessions, keys, verifier }) ?? {},
  })

  await serve(
    {
      app,
      metrics,
      logger,
      reload: clientsReloader(context, loaded, issuer.clients, logger),
      checks: readinessChecks({ ...deps, keys, revocations, clockMonitor }),
      close: async () => {
        const parallel = [keys, revocations, clockMonitor, cleanups, oauth]
        await Promise.all(parallel.map((one) => one.close()))
        await Promise.all([deps.close(), counters.close()])
      },
    },
    settings,
  )
}

/**
 * Opens the keys of the service.
 *
 * @throws `config_invalid` if a token is too long: an earlier algorithm signs until its key is replaced
 */
async function openSigningKeys(
  settings: Settings,
  cwd: string,
  options: Pick<KeyManagerOptions, 'expiryClock' | 'onChange'>,
): Promise<KeyManager> {
  const keys = await openKeys(settings, cwd, options)
  const signsLong = keys
    .list()
    .some(({ alg, state }) => alg === 'ML-DSA-44' && (state === 'active' || state === 'pending'))
  if (settings.audiences.length === 0 || !signsLong) return keys
  await keys.close()
  throw unusableSetting(
    'audiences',
    'cannot be set while a key of ML-DSA-44 is active or pending, because an encrypted token would be too ' +
      'long: start without it, and wait until `gatepass keys list` shows no such key',
  )
}

function oauthOptions(settings: Settings, logger: Logger, expiryClock: Clock) {
  return {
    secrets: issuerSecrets(settings),
    clockToleranceSeconds: settings.clock_skew_s,
    backchannel: {
      expiryClock,
      onFailure: (client_id: string, err: unknown) =>
        logger.warn({ client_id, err }, 'a client could not be notified of a sign-out'),
    },
  }
}

function frontEndOptions(settings: Settings): FrontEndOptions {
  return {
    // Safari refuses secure cookies from http://localhost.
    cookieSecure: settings.mode === 'production' || new URL(settings.issuer).protocol === 'https:',
    cookieSuffix: cookieSuffix(settings),
    allowedOrigins: settings.allowed_origins,
  }
}

function createNonces(settings: Settings): DpopNonces | undefined {
  if (settings.dpop_nonce === 'off') return undefined
  return new DpopNonces({
    issuer: settings.issuer,
    secrets: issuerSecrets(settings),
    clockToleranceSeconds: settings.clock_skew_s,
    clock: systemClock,
  })
}

interface CheckedDeps {
  readonly accounts: AccountStore
  readonly sessions: SessionStore
  readonly keys: KeyManager
  readonly revocations: RevocationFeed
  readonly clockMonitor: ClockMonitor
}

function readinessChecks(deps: CheckedDeps): Record<string, ReadinessCheck> {
  const { accounts, sessions, keys, revocations, clockMonitor } = deps
  return {
    accounts: () => accounts.ping(),
    sessions: () => sessions.ping(),
    keys: async () => {
      if (keys.lastError !== null) await keys.refresh()
      if (keys.lastError !== null) throw keys.lastError
    },
    revocations: async () => {
      if (revocations.lastError !== null) throw revocations.lastError
    },
    clock: () => clockMonitor.check(),
  }
}

/**
 * All ports of a host share their cookies. The port in the cookie's name keeps two development
 * issuers on localhost from overwriting each other's refresh tokens.
 */
function cookieSuffix({ mode, issuer }: Settings): string {
  const { port } = new URL(issuer)
  return mode === 'development' && port !== '' ? `-${port}` : ''
}

interface CleanupDeps {
  readonly logger: Logger
  readonly metrics: Metrics
  readonly sessions: SessionStore
  readonly expiryClock: Clock
}

/** Starts to remove expired sessions and, if sessions have data, the data of revoked sessions. */
async function startCleanups(
  settings: Settings,
  cwd: string,
  { logger, metrics, sessions, expiryClock }: CleanupDeps,
) {
  const data = await openDataForService(settings, cwd, logger)
  const ofData =
    data &&
    new SessionDataCleanup({
      data: observedStore(data, createDataObserver(metrics.registry)),
      sessions,
      issuer: settings.issuer,
      clock: expiryClock,
      closedMs: dataBlockedMs(settings),
      onFailure: (err) => logger.warn({ err }, 'session data could not be deleted; trying again'),
    })
  void ofData?.refresh()
  const ofSessions = startCleanup(sessions, expiryClock, (err) =>
    logger.warn({ err }, 'expired sessions could not be removed; trying again later'),
  )
  return {
    async close() {
      ofSessions.stop()
      await ofData?.close()
      await data?.close()
    },
  }
}

interface RevocationDeps {
  readonly sessions: SessionStore
  readonly keys: KeyManager
  readonly expiryClock: Clock
}

function openRevocations(settings: Settings, { sessions, keys, expiryClock }: RevocationDeps) {
  return RevocationFeed.open({
    sessions: {
      async revocationsAfter(position, limit) {
        const entries = await sessions.revocationsAfter(position, limit)
        // A revoked key must not sign the feed that announces its revocation.
        if (entries.some(({ kind }) => kind === 'key')) await keys.refreshNow()
        return entries
      },
    },
    clock: systemClock,
    expiryClock,
    keptMs: revocationsKeptMs(settings),
  })
}

/**
 * Returns a function that reads the settings again and replaces the clients. Other settings keep their values
 * from the start. If the new settings are invalid, the clients stay unchanged too, and the log lists every
 * problem.
 */
function clientsReloader(
  context: CliContext,
  first: LoadedConfig,
  clients: Clients,
  logger: Logger,
): () => void {
  let last = first
  return () => {
    try {
      const latest = configOf(context, 'issuer')
      const next = latest.settings.clients
      // The new clients must fit the unchanged settings.
      const problems = crossCheck({ ...first.settings, clients: next }, 'issuer')
      // The settings file may be missing for a moment. The default clients must not replace those in it.
      if (hasDefaultClients(latest) && !hasDefaultClients(last)) {
        problems.push({ pointer: environmentName('clients'), detail: 'was set, and is missing' })
      }
      if (problems.length > 0) throw new GatepassError('config_invalid', { problems })
      clients.replace(next)
      last = latest
      // A line with 1,000 names would be longer than many log collectors, and a shared pipe, keep whole.
      logger.info({ clients: next.length }, 'clients were reloaded')
    } catch (error) {
      if (!isGatepassError(error, 'config_invalid')) throw error
      const { problems, message } = error
      logger.error({ problems, code: error.code, reason: message }, 'clients were not reloaded')
    }
  }
}

function hasDefaultClients({ effective }: LoadedConfig): boolean {
  return effective.some(({ setting, source }) => setting.name === 'clients' && source === 'default')
}
