import t from 'tap'
import {
  createDataObserver,
  Metrics,
  observeClock,
  observeLog,
  observeRevocations,
  observeVerifier,
} from '../../src/http/metrics.ts'
import { readProjectFile } from '../support/project.ts'
import { codeSpans, tableRows } from './documents.ts'

const rows = tableRows(readProjectFile('docs/metrics.md'))

t.test('docs/metrics.md explains every metric of ours, and no other', async (t) => {
  const metrics = new Metrics()
  t.teardown(() => metrics.registry.clear())
  const nobodyAsks = () => {
    throw new Error('nobody asks for values')
  }
  observeRevocations(metrics.registry, nobodyAsks)
  observeVerifier(metrics.registry, nobodyAsks)
  observeClock(metrics.registry, () => null)
  observeLog(metrics.registry, nobodyAsks)
  createDataObserver(metrics.registry)
  const documented = rows
    .flatMap(([first = '']) => codeSpans(first))
    .filter((name) => name.startsWith('gatepass_'))
  const ours = metrics.registry
    .getMetricsAsArray()
    .map(({ name }) => name)
    .filter((name) => name.startsWith('gatepass_'))
  t.same(documented.sort(), ours.sort())
})
