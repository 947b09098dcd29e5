import { statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { withFileLock } from '../../../src/stores/sqlite/database.ts'

t.test('one at a time has the lock, and whatever comes of the work it is given back', async (t) => {
  const path = join(t.testdir(), 'a.lock')
  const { promise: release, resolve } = Promise.withResolvers<void>()
  const first = withFileLock(path, 0, async () => {
    await release
    throw new Error('of the work')
  })
  await t.rejects(
    withFileLock(path, 0, async () => t.fail('both have it')),
    { code: 'store_unavailable' },
  )
  resolve()
  await t.rejects(first, { message: 'of the work' })
  t.equal(await withFileLock(path, 0, async () => 'mine'), 'mine')
  t.equal(statSync(path).mode & 0o777, 0o600)
})
