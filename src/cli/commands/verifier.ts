import { GatepassError } from '../../core/errors.ts'
import { Metrics } from '../../http/metrics.ts'
import { buildVerifierApp } from '../../http/verifier-app.ts'
import { createVerifier } from '../../verifier/verifier.ts'
import { type CliContext, configOf, packageVersion } from '../context.ts'
import { createLogger } from '../logger.ts'
import { serve } from '../serve.ts'
import { isPrimaryOfMany, runWorkers } from '../workers.ts'

/** `gatepass verifier`: checks tokens for reverse proxies. */
export async function runVerifier(context: CliContext): Promise<void> {
  const { settings } = configOf(context, 'verifier')
  const logger = createLogger(settings, 'verifier')
  if (isPrimaryOfMany(settings)) return runWorkers(logger, settings)
  const metrics = new Metrics()
  const verifier = createVerifier({
    issuer: settings.issuer,
    audience: settings.audience,
    clockTolerance_s: settings.clock_skew_s,
    ...(settings.jwks_url !== undefined && { jwksUri: settings.jwks_url }),
  })
  // Without keys it starts all the same, says 503, and goes on asking.
  verifier.ready().catch((error: unknown) => logger.warn({ err: error }, 'no keys yet'))

  await serve(
    {
      app: buildVerifierApp({ logger, metrics, version: packageVersion(), verifier }),
      metrics,
      logger,
      checks: {
        keys: async () => {
          if (verifier.status().keys.count === 0) throw new GatepassError('keys_unavailable')
        },
      },
      close: () => verifier.close(),
    },
    settings,
  )
}
