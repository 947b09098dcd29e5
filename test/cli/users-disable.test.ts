import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import t from 'tap'
import { randomId } from '../../src/core/secrets.ts'
import { SqliteSessionStore } from '../../src/stores/sqlite/session-store.ts'
import { runCommand } from '../support/commands.ts'
import { session } from '../support/sessions.ts'
import { createTestFolder } from '../support/test-folder.ts'

t.test('users disable --id works for a deleted account', async (t) => {
  const cwd = createTestFolder(t)
  const users = (...args: string[]) =>
    runCommand(['users', ...args], { cwd, input: 'correct horse battery' })
  await users('add', 'ada')
  const db = new DatabaseSync(join(cwd, '.gatepass/accounts.db'))
  const sub = String(db.prepare('SELECT sub FROM accounts').get()?.sub)
  const sessions = new SqliteSessionStore(join(cwd, '.gatepass/sessions.db'))
  t.teardown(async () => {
    db.close()
    await sessions.close()
  })
  const one = session({ sid: randomId(), sub })
  await sessions.create(one)
  t.match((await users('disable', '--id', sub)).stderr, /Disabled the user .*\. Sessions ended: 1/)
  t.equal(db.prepare('SELECT disabled FROM accounts').get()?.disabled, 1)

  db.exec('DELETE FROM accounts')
  const left = session({ sid: randomId(), sub })
  await sessions.create(left)
  const byName = await users('disable', 'ada')
  t.equal(byName.code, 1)
  t.match(byName.stderr, /account was deleted.*users disable --id.*account_not_found/)
  const byId = await users('disable', '--id', sub)
  t.equal(byId.code, 0)
  t.match(byId.stderr, /There is no account with the id .*\. Sessions ended: 1/)
  t.equal(await sessions.find(left.sid, Date.now()), null)
  t.match(await sessions.revocationsAfter('', 10), [
    { kind: 'session', id: one.sid },
    { kind: 'user', id: sub },
    { kind: 'session', id: left.sid },
    { kind: 'user', id: sub },
  ])
  const again = await users('disable', '--id', sub)
  t.equal(again.code, 1)
  t.match(again.stderr, /neither an account nor a session.*account_not_found/)
  const { length } = await sessions.revocationsAfter('', 10)
  for (const id of ['', 'x'.repeat(256)]) {
    const nobody = await users('disable', '--id', id)
    t.equal(nobody.code, 1)
    t.match(nobody.stderr, /neither an account nor a session.*account_not_found/)
  }
  const after = await sessions.revocationsAfter('', 10)
  t.equal(after.length, length, 'verifiers would refuse a list with such an id')
  const misused = await users('disable', 'ada', '--id', sub)
  t.equal(misused.code, 2)
  t.match(misused.stderr, /either a login name or --id/)
})
