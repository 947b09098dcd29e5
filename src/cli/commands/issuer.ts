import type { Logger } from 'pino'
import type { Settings } from '../../config/settings.ts'
import { type Clock, systemClock } from '../../core/clock.ts'
import { observedStore } from '../../data/observed-store.ts'
import type { ReadinessCheck } from '../../http/admin-app.ts'
import { buildIssuerApp } from '../../http/issuer-app.ts'
import { createLocalKeySource } from '../../http/local-key-source.ts'
import { dataMetrics, Metrics, observeClock, observeLog } from '../../http/metrics.ts'
import { createAudit } from '../../issuer/audit.ts'
import type { ClockMonitor } from '../../issuer/clock-monitor.ts'
import { createIssuer } from '../../issuer/issuer.ts'
import { RevocationFeed } from '../../issuer/revocation-feed.ts'
import { SessionDataCleanup } from '../../issuer/session-data-cleanup.ts'
import type { KeyManager } from '../../keys/key-manager.ts'
import { startCleanup } from '../../stores/cleanup.ts'
import { openCounterStore } from '../../stores/open-stores.ts'
import type { AccountStore, SessionStore } from '../../stores/ports.ts'
import { DpopProofs, dpopDefaults } from '../../verifier/dpop/dpop-proofs.ts'
import { createVerifier, type Verifier } from '../../verifier/verifier.ts'
import { type CliContext, configOf, packageVersion } from '../context.ts'
import { openDataForService } from '../data-wiring.ts'
import {
  dataClosedMs,
  issuerPolicy,
  issuerSecrets,
  openAccountParts,
  openClockMonitor,
  openKeys,
  revocationsToldMs,
} from '../issuer-wiring.ts'
import { createLogger, LogOutput } from '../logger.ts'
import { openEventLog, playgroundParts } from '../playground-wiring.ts'
import { serve } from '../serve.ts'
import { isPrimaryOfMany, runWorkers } from '../worker-processes.ts'

/** `gatepass issuer`: signs users in and publishes the keys. */
export async function runIssuer(context: CliContext): Promise<void> {
  const { settings } = configOf(context, 'issuer')
  const output = new LogOutput()
  const logger = createLogger(settings, 'issuer', output)
  if (isPrimaryOfMany(settings)) return runWorkers(logger, settings)
  const metrics = new Metrics()
  observeLog(metrics.registry, () => output.dropped)
  const audit = createAudit(logger, metrics)
  const parts = await openAccountParts(settings, context.cwd)
  const counters = await openCounterStore(settings.sessions_url, context.cwd)
  const events = await openEventLog(settings)
  const keys = await openKeys(settings, context.cwd, ({ name, kid }) => {
    audit(name, { kid })
    events?.add(name, { kid })
  })
  const policy = issuerPolicy(settings)
  const clockMonitor = await openClockMonitor(settings, parts.sessions)
  observeClock(metrics.registry, () => clockMonitor.offsetMs)
  const { expiryClock } = clockMonitor
  const revocations = await openRevocations(settings, {
    sessions: parts.sessions,
    keys,
    expiryClock,
  })
  const cleanup = startCleanup(parts.sessions, expiryClock, (err) =>
    logger.warn({ err }, 'expired sessions could not be removed; trying again later'),
  )
  const dataCleanup = await startDataCleanup(settings, context.cwd, {
    logger,
    metrics,
    sessions: parts.sessions,
    revocations,
  })
  const verifier = ownVerifier(settings, keys)
  const playground = await playgroundParts(settings, { ...parts, keys, verifier, events })

  const issuer = createIssuer({
    policy,
    stores: { accounts: parts.accounts, sessions: parts.sessions, counters },
    secrets: issuerSecrets(settings),
    signingKey: () => keys.signingKey(),
    hasher: parts.hasher,
    revocations,
    clock: systemClock,
    hooks: {
      checkClock: () => clockMonitor.checkSignOut(),
      onSessionRevoked: (sid) => dataCleanup?.deleteSoon(sid),
    },
  })

  const app = buildIssuerApp({
    service: {
      logger,
      metrics,
      version: packageVersion(),
      trustedProxies: settings.trusted_proxies,
      namesClaims: settings.mode === 'development',
    },
    issuer,
    keys,
    verifier,
    proofs: new DpopProofs({
      ...dpopDefaults,
      clockToleranceSeconds: settings.clock_skew_s,
      clock: systemClock,
    }),
    frontEnd: {
      cookieSecure: settings.cookie_secure,
      cookieSuffix: cookieSuffix(settings),
      allowedOrigins: settings.allowed_origins,
    },
    hooks: playground,
  })

  await serve(
    {
      app,
      metrics,
      logger,
      checks: readinessChecks({ ...parts, keys, revocations, clockMonitor }),
      close: async () => {
        cleanup.stop()
        await Promise.all([keys, revocations, clockMonitor, dataCleanup].map((one) => one?.close()))
        await Promise.all([parts.close(), counters.close()])
      },
    },
    settings,
  )
}

interface CheckedParts {
  readonly accounts: AccountStore
  readonly sessions: SessionStore
  readonly keys: KeyManager
  readonly revocations: RevocationFeed
  readonly clockMonitor: ClockMonitor
}

function readinessChecks(parts: CheckedParts): Record<string, ReadinessCheck> {
  const { accounts, sessions, keys, revocations, clockMonitor } = parts
  return {
    accounts: () => accounts.ping(),
    sessions: () => sessions.ping(),
    keys: async () => {
      if (keys.lastError !== null) throw keys.lastError
    },
    revocations: async () => {
      if (revocations.lastError !== null) throw revocations.lastError
    },
    clock: async () => clockMonitor.check(),
  }
}

/**
 * All ports of a host share its cookies: without the port in their names, two trials on localhost
 * would sign each other's users out.
 */
function cookieSuffix({ mode, issuer }: Settings): string {
  const { port } = new URL(issuer)
  return mode === 'development' && port !== '' ? `-${port}` : ''
}

/** Of its own tokens, whatever audience they are for: who holds one may end its session. */
function ownVerifier(settings: Settings, keys: KeyManager): Verifier {
  return createVerifier({
    issuer: settings.issuer,
    audience: null,
    keys: createLocalKeySource(keys),
    clockToleranceSeconds: settings.clock_skew_s,
    ...(settings.decryption_keys.length > 0 && {
      decryptionKeys: settings.decryption_keys,
      encryptedTokens: 'optional',
    }),
  })
}

interface CleanupParts {
  readonly logger: Logger
  readonly metrics: Metrics
  readonly sessions: SessionStore
  readonly revocations: RevocationFeed
}

/** Starts to delete the data of revoked sessions. Returns null if sessions have no data. */
async function startDataCleanup(
  settings: Settings,
  cwd: string,
  { logger, metrics, sessions, revocations }: CleanupParts,
) {
  const data = await openDataForService(settings, cwd, logger)
  if (data === null) return null
  const cleanup = new SessionDataCleanup({
    data: observedStore(data, dataMetrics(metrics.registry)),
    sessions,
    issuer: settings.issuer,
    clock: systemClock,
    closedMs: dataClosedMs(settings),
    onFailure: (err) => logger.warn({ err }, 'session data could not be ended; trying again'),
  })
  cleanup.follow(revocations)
  return {
    deleteSoon: (sid: string) => cleanup.deleteSoon(sid),
    close: async () => {
      await cleanup.close()
      await data.close()
    },
  }
}

interface RevocationParts {
  readonly sessions: SessionStore
  readonly keys: KeyManager
  readonly expiryClock: Clock
}

function openRevocations(settings: Settings, { sessions, keys, expiryClock }: RevocationParts) {
  return RevocationFeed.open({
    sessions: { revocationsAfter: withKeysGone(sessions, keys) },
    clock: systemClock,
    expiryClock,
    keptMs: revocationsToldMs(settings),
  })
}

/** The log, read such that a revoked key is gone before it could sign the news of its own end. */
function withKeysGone(sessions: SessionStore, keys: KeyManager): SessionStore['revocationsAfter'] {
  return async (position, limit) => {
    const entries = await sessions.revocationsAfter(position, limit)
    if (entries.some(({ kind }) => kind === 'key')) await keys.refreshAnew()
    return entries
  }
}
