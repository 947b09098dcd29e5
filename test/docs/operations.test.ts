import t from 'tap'
import { dataMetrics, Metrics, observeClock, observeLog } from '../../src/http/metrics.ts'
import { observeRevocations, observeVerifier } from '../../src/http/verifier-metrics.ts'
import { auditEvents } from '../../src/issuer/audit.ts'
import { codeSpans, readDocument, tableRows } from './documents.ts'

const document = readDocument('docs/operations.md')

/** What the rows of a table are about: the code in their first cells. */
function namesUnder(heading: string): string[] {
  return tableRows(document, heading).flatMap(([first = '']) => codeSpans(first))
}

t.test('docs/operations.md explains every audit event, in their order, and no other', async (t) => {
  t.same(namesUnder('Audit events'), auditEvents)
})

t.test('it names every metric of ours, with its labels', async (t) => {
  const metrics = new Metrics()
  t.teardown(() => metrics.registry.clear())
  const nobodyAsks = () => {
    throw new Error('nobody asks for values')
  }
  observeRevocations(metrics.registry, nobodyAsks)
  observeVerifier(metrics.registry, nobodyAsks)
  observeClock(metrics.registry, () => null)
  observeLog(metrics.registry, nobodyAsks)
  dataMetrics(metrics.registry)
  const documented = namesUnder('Metrics').filter((name) => name.startsWith('gatepass_'))
  const ours = metrics.registry
    .getMetricsAsArray()
    .map(({ name }) => name)
    .filter((name) => name.startsWith('gatepass_'))
  t.same(documented.sort(), ours.sort())
})
