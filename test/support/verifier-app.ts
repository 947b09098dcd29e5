import { pino } from 'pino'
import type { Test } from 'tap'
import { Metrics } from '../../src/http/metrics.ts'
import { buildVerifierApp } from '../../src/http/verifier-app.ts'
import type { Verifier } from '../../src/verifier/verifier.ts'

type VerifierAppOptions = Parameters<typeof buildVerifierApp>[0]

interface TestVerifierAppOptions extends Omit<VerifierAppOptions, 'service' | 'verifier'> {
  readonly service?: Partial<VerifierAppOptions['service']>
}

/** Builds the verifier service without a log. It is closed when the test ends. */
export function openVerifierApp(
  t: Test,
  verifier: Verifier,
  { service, ...options }: TestVerifierAppOptions = {},
) {
  const silent = {
    logger: pino({ level: 'silent' }),
    metrics: new Metrics(),
    version: '0.0.0-test',
  }
  const app = buildVerifierApp({ ...options, service: { ...silent, ...service }, verifier })
  t.teardown(() => app.close())
  return app
}
