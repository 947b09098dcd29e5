import { systemClock } from '../../core/clock.ts'
import { auditTo } from '../../http/audit-log.ts'
import { buildIssuerApp } from '../../http/issuer-app.ts'
import { Metrics } from '../../http/metrics.ts'
import { createRingKeySource } from '../../http/ring-key-source.ts'
import { createIssuer } from '../../issuer/issuer.ts'
import { RevocationFeed } from '../../issuer/revocation-feed.ts'
import type { KeyRing } from '../../keys/ring.ts'
import { openCounterStore } from '../../stores/open.ts'
import type { SessionStore } from '../../stores/ports.ts'
import { createVerifier } from '../../verifier/verifier.ts'
import { type CliContext, configOf, packageVersion } from '../context.ts'
import { createLogger } from '../logger.ts'
import { issuerPolicy, openAccountParts, openKeys, revocationsToldMs } from '../parts.ts'
import { serve } from '../serve.ts'
import { startSweep } from '../sweep.ts'
import { isPrimaryOfMany, runWorkers } from '../workers.ts'

/** `gatepass issuer`: signs users in and publishes the keys. */
export async function runIssuer(context: CliContext): Promise<void> {
  const { settings } = configOf(context, 'issuer')
  const logger = createLogger(settings, 'issuer')
  if (isPrimaryOfMany(settings)) return runWorkers(logger, settings)
  const metrics = new Metrics()
  const audit = auditTo(logger, metrics)
  const parts = await openAccountParts(settings, context.cwd)
  const counters = await openCounterStore(settings.sessions_url, context.cwd)
  const keys = await openKeys(settings, context.cwd, ({ name, kid }) => audit(name, { kid }))
  const signingKey = () => keys.signingKey()
  const policy = issuerPolicy(settings)
  const revocations = await RevocationFeed.open({
    sessions: { revocationsAfter: withKeysGone(parts.sessions, keys) },
    clock: systemClock,
    keptMs: revocationsToldMs(settings),
  })
  const sweep = startSweep(parts.sessions, systemClock, logger)

  const app = buildIssuerApp({
    logger,
    metrics,
    version: packageVersion(),
    issuerUrl: settings.issuer,
    cookieSecure: settings.cookie_secure,
    allowedOrigins: settings.allowed_origins,
    trustedProxies: settings.trusted_proxies,
    issuer: createIssuer({
      ...policy,
      ...parts,
      counters,
      clock: systemClock,
      signingKey,
    }),
    // Its own tokens, whatever audience they are for: who holds one may end its session.
    verifier: createVerifier({
      issuer: settings.issuer,
      audience: null,
      keys: createRingKeySource(keys),
      clockTolerance_s: settings.clock_skew_s,
    }),
    jwks: () => keys.jwks(),
    revocations,
    clock: systemClock,
    signingKey,
  })

  await serve(
    {
      app,
      metrics,
      logger,
      checks: {
        accounts: () => parts.accounts.ping(),
        sessions: () => parts.sessions.ping(),
        keys: async () => {
          if (keys.lastError !== null) throw keys.lastError
        },
        revocations: async () => {
          if (revocations.lastError !== null) throw revocations.lastError
        },
      },
      close: async () => {
        sweep.stop()
        await Promise.all([keys.close(), revocations.close()])
        await Promise.all([parts.close(), counters.close()])
      },
    },
    settings,
  )
}

/** The log, read such that a revoked key is gone before it could sign the news of its own end. */
function withKeysGone(sessions: SessionStore, keys: KeyRing): SessionStore['revocationsAfter'] {
  return async (position, limit) => {
    const entries = await sessions.revocationsAfter(position, limit)
    if (entries.some(({ kind }) => kind === 'key')) await keys.refreshAnew()
    return entries
  }
}
