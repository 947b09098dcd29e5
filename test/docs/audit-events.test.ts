import t from 'tap'
import { auditEvents } from '../../src/issuer/audit.ts'
import { readProjectFile } from '../support/project.ts'
import { codeSpans, tableRows } from './documents.ts'

const document = readProjectFile('docs/audit-events.md')

t.test(
  'docs/audit-events.md explains every audit event, in their order, and no other',
  async (t) => {
    const names = tableRows(document, 'Events').flatMap(([first = '']) => codeSpans(first))
    t.same(names, auditEvents)
  },
)

t.test('each reason belongs to an event', async (t) => {
  const rows = tableRows(document, 'Reasons').flatMap(([first = '']) => codeSpans(first))
  t.ok(rows.length > 0)
  for (const name of rows) t.ok((auditEvents as readonly string[]).includes(name), name)
})
