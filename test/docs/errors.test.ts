import t from 'tap'
import { errorCodes } from '../../src/core/errors.ts'
import { readProjectFile } from '../support/project.ts'

/** The first cells of each row that starts with a code. */
const documented = [
  ...readProjectFile('docs/errors.md').matchAll(/^\| `([a-z_]+)` *\| (\d{3}) *\|/gm),
]

t.test('docs/errors.md explains every code, once, and no other', async (t) => {
  t.same(documented.map(([, code]) => code).sort(), Object.keys(errorCodes).sort())
})

t.test('the document lists the status of each code', async (t) => {
  const statuses = Object.entries(errorCodes).map(([code, { status }]) => [code, status])
  t.same(
    Object.fromEntries(documented.map(([, code, status]) => [code, Number(status)])),
    Object.fromEntries(statuses),
  )
})
