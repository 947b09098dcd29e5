// Opens a database that needs migrating, at the moment it is told to.
import { once } from 'node:events'
import { SqliteDatabase } from '../../../../src/stores/sqlite/database.ts'

const [path = ''] = process.argv.slice(2)
process.stdout.write('ready\n')
await once(process.stdin, 'data')
const db = new SqliteDatabase(path, {
  name: 'numbers',
  migrations: [
    { name: 'first', sql: 'CREATE TABLE first (n INTEGER) STRICT; INSERT INTO first VALUES (1)' },
    { name: 'second', sql: 'INSERT INTO first VALUES (2)' },
  ],
})
await db.close()
process.exit(0)
