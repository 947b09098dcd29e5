// Writes numbers into a database, several at once, and says each after it was acknowledged.
import { writeSync } from 'node:fs'
import { SqliteDatabase } from '../../../../src/stores/sqlite/database.ts'

const [path = '', writers = '8'] = process.argv.slice(2)
const db = new SqliteDatabase(path, {
  name: 'numbers',
  migrations: [{ name: 'numbers', sql: 'CREATE TABLE numbers (n INTEGER PRIMARY KEY) STRICT' }],
})
const insert = db.prepare('INSERT INTO numbers VALUES (?)')
let last = 0

async function writeForever(): Promise<never> {
  for (;;) {
    last += 1
    const n = last
    await db.write(() => insert.run(n))
    writeSync(1, `${n}\n`)
  }
}

await Promise.all(Array.from({ length: Number(writers) }, writeForever))
